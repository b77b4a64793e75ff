//! subresources.kubevirt.io/v1: what there is, who may use it, and how a request finds its handler.

use http::request::Parts;
use http::{HeaderMap, Method, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Bytes;
use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use kube::Api;
use kube::api::PostParams;
use serde_json::json;

use super::failure::Failure;
use super::{VirtApi, answer, plain};
use crate::namespace::from_json;

/// Where the group's version is, as kube-apiserver passes requests on.
const BASE: &str = "/apis/subresources.kubevirt.io/v1";

/// The subresources that are offered in discovery: of namespaced resources all (KubeVirt's api.go).
const OFFERED: [&str; 31] = [
    "expand-vm-spec",
    "virtualmachineinstances/vnc",
    "virtualmachineinstances/vnc/screenshot",
    "virtualmachineinstances/console",
    "virtualmachineinstances/portforward",
    "virtualmachineinstances/backup",
    "virtualmachineinstances/redefine-checkpoint",
    "virtualmachineinstances/pause",
    "virtualmachineinstances/unpause",
    "virtualmachineinstances/freeze",
    "virtualmachineinstances/unfreeze",
    "virtualmachineinstances/reset",
    "virtualmachineinstances/softreboot",
    "virtualmachines/start",
    "virtualmachines/stop",
    "virtualmachines/restart",
    "virtualmachines/migrate",
    "virtualmachines/expand-spec",
    "virtualmachines/objectgraph",
    "virtualmachines/evacuate/cancel",
    "virtualmachineinstances/guestosinfo",
    "virtualmachineinstances/userlist",
    "virtualmachineinstances/filesystemlist",
    "virtualmachineinstances/addvolume",
    "virtualmachineinstances/removevolume",
    "virtualmachineinstances/objectgraph",
    "virtualmachineinstances/sev/fetchcertchain",
    "virtualmachineinstances/sev/querylaunchmeasurement",
    "virtualmachineinstances/sev/setupsession",
    "virtualmachineinstances/sev/injectlaunchsecret",
    "virtualmachineinstances/evacuate/cancel",
];

/// The object that a request is about, and what is asked of it.
struct Target<'a> {
    namespace: &'a str,
    resource: &'a str,
    name: &'a str,
    subresource: &'a str,
}

impl<'a> Target<'a> {
    /// Reads `namespaces/NAMESPACE/RESOURCE/NAME/SUBRESOURCE`, where the last may have several parts.
    fn read(path: &'a str) -> Option<Self> {
        let mut parts = path.strip_prefix(BASE)?.strip_prefix("/namespaces/")?.splitn(4, '/');
        Some(Self {
            namespace: parts.next()?,
            resource: parts.next()?,
            name: parts.next()?,
            subresource: parts.next()?,
        })
    }

    fn is_cancel(&self) -> bool {
        matches!(self.resource, "virtualmachines" | "virtualmachineinstances") && self.subresource == "evacuate/cancel"
    }
}

impl VirtApi {
    pub(super) async fn answer_subresource(&self, request: &Parts, body: &[u8]) -> Response<Full<Bytes>> {
        let path = request.uri.path().trim_end_matches('/');
        if path == BASE {
            return answer(StatusCode::OK, "application/json", self.discovery().await);
        }
        let Some(target) = Target::read(path) else { return not_found() };
        if let Err(refusal) = self.authorize(&target, request).await {
            return refusal;
        }
        if target.is_cancel() && !self.has_cancel().await {
            return not_found();
        }
        if request.method != Method::PUT {
            return plain(StatusCode::METHOD_NOT_ALLOWED, "405: Method Not Allowed");
        }
        // OBSERVED, corrections 3: the routes promise no type, so only `*/*` fits. go-restful looks at this last.
        if !accepts_anything(&request.headers) {
            return plain(StatusCode::NOT_ACCEPTABLE, "406: Not Acceptable");
        }
        let Target { namespace, resource, name, subresource } = target;
        match (resource, subresource) {
            ("virtualmachines", "start") => self.start(namespace, name, body).await,
            ("virtualmachines", "stop") => self.stop(namespace, name, body).await,
            ("virtualmachines", "restart") => self.restart(namespace, name, body).await,
            ("virtualmachines", "migrate") => self.migrate(namespace, name, body).await,
            ("virtualmachines", "evacuate/cancel") => {
                let vmi = self.vmi_of_vm(namespace, name).await;
                self.cancel_evacuation(vmi, namespace, name, body).await
            }
            ("virtualmachineinstances", "evacuate/cancel") => {
                let vmi = self.vmi(namespace, name).await;
                self.cancel_evacuation(vmi, namespace, name, body).await
            }
            // What needs a virt-handler, or a guest, the stand-in has not.
            _ => return not_found(),
        }
        .unwrap_or_else(Failure::answer)
    }

    async fn discovery(&self) -> String {
        let has_cancel = self.has_cancel().await;
        let resources: Vec<_> = OFFERED
            .iter()
            .filter(|name| has_cancel || !name.ends_with("/evacuate/cancel"))
            .map(|name| json!({ "name": name, "singularName": "", "namespaced": true, "kind": "", "verbs": null }))
            .collect();
        json!({
            "kind": "APIResourceList",
            "apiVersion": "v1",
            "groupVersion": "subresources.kubevirt.io/v1",
            "resources": resources,
        })
        .to_string()
    }

    /// Returns whether this version has `evacuate/cancel` (reference 0: since v1.7).
    async fn has_cancel(&self) -> bool {
        let kubevirt = self.kubevirt().await;
        let version = kubevirt["status"]["observedKubeVirtVersion"].as_str().unwrap_or_default();
        let mut numbers = version.trim_start_matches('v').split(['.', '-']).map(|number| number.parse().unwrap_or(0));
        (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (1, 7)
    }

    /// Asks whether the user whom the API server names may do this. OBSERVED, corrections 4: the API server has asked
    /// only about the first part of a subresource's name, virt-api asks about all of it.
    async fn authorize(&self, target: &Target<'_>, request: &Parts) -> Result<(), Response<Full<Bytes>>> {
        let texts = |name: &str| -> Vec<&str> {
            request.headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect()
        };
        let users = texts("x-remote-user");
        let Some(user) = users.first() else {
            let reason = "a valid user header is required for authorization";
            return Err(plain(StatusCode::UNAUTHORIZED, reason));
        };
        let Target { namespace, resource, name, subresource } = target;
        let verb = match request.method {
            Method::POST => "create",
            Method::GET | Method::HEAD => "get",
            Method::PATCH => "patch",
            Method::DELETE => "delete",
            _ => "update",
        };
        let review: SubjectAccessReview = from_json(json!({ "spec": {
            "user": user,
            "groups": texts("x-remote-group"),
            "resourceAttributes": {
                "group": "subresources.kubevirt.io",
                "version": "v1",
                "namespace": namespace,
                "verb": verb,
                "resource": resource,
                "subresource": subresource,
                "name": name,
            },
        } }));
        let answered = Api::all(self.client.clone()).create(&PostParams::default(), &review).await;
        match answered.ok().and_then(|review| review.status) {
            Some(status) if status.allowed => Ok(()),
            // OBSERVED, corrections 4: 401 with what the authorizer says, which is nothing for RBAC.
            Some(status) => Err(plain(StatusCode::UNAUTHORIZED, &status.reason.unwrap_or_default())),
            None => Err(plain(StatusCode::INTERNAL_SERVER_ERROR, "")),
        }
    }
}

fn not_found() -> Response<Full<Bytes>> {
    plain(StatusCode::NOT_FOUND, "404: Page Not Found")
}

fn accepts_anything(headers: &HeaderMap) -> bool {
    let Some(accept) = headers.get(http::header::ACCEPT) else { return true };
    let accept = accept.to_str().unwrap_or_default();
    accept.is_empty() || accept.split(',').any(|range| range.split(';').next().unwrap_or_default().trim() == "*/*")
}
