//! A stand-in for metrics-server, which cannot measure pods that run nothing: it serves metrics.k8s.io/v1beta1 behind a
//! genuine APIService, so that the real HorizontalPodAutoscalers get their numbers as they do anywhere.
//!
//! A test says how busy a workload is, as one number for all of it. Its Ready pods share that evenly, as they share the
//! traffic of a Service: one pod more makes each of the others less busy, and an autoscaler comes to rest.
//!
//! Kinds, paths and fields are those of `k8s.io/metrics/pkg/apis/metrics/v1beta1`; pods only, since nobody here asks for
//! nodes. Like metrics-server it knows only pods that run.

#![expect(clippy::indexing_slicing, reason = "a field that a JSON object has not is null")]

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Bytes;
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use kube::runtime::watcher;
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{OnceCell, oneshot};

use crate::background::Background;
use crate::control_plane::ControlPlane;
use crate::manifest::{self, text};
use crate::namespace::Namespace;
use crate::rest::Rest;
use crate::tls::{self, Identity};
use crate::wait::{self, DEADLINE};

/// Where the group's version is, as kube-apiserver passes requests on.
const BASE: &str = "/apis/metrics.k8s.io/v1beta1";

/// The name of the APIService, which the API gives.
const API_SERVICE: &str = "v1beta1.metrics.k8s.io";

/// Where metrics-server's own manifests install it.
const NAMESPACE: &str = "kube-system";

/// Its Service there.
const SERVICE: &str = "metrics-server";

const FIELD_MANAGER: &str = "metrics-stand-in";

/// Over which time a value was measured. metrics-server says some 15 s; the autoscaler believes no value of a pod that
/// was measured before the pod had been Ready for so long, and no test is to wait for that.
const WINDOW: &str = "1s";

/// How busy each workload is, in thousandths of a processor: by namespace and the label `app` of its pods.
type Loads = Arc<Mutex<BTreeMap<(String, String), u64>>>;

/// A stand-in that answers for all namespaces of a control plane, until it is dropped.
#[derive(Debug)]
pub struct Metrics {
    loads: Loads,
    _serving: Background,
}

/// What answers requests.
#[derive(Clone)]
struct Server {
    client: Client,
    loads: Loads,
}

impl Metrics {
    /// Installs the stand-in and returns once the API server passes requests on to it. Not for a cluster that outlives
    /// the tests: the APIService would be left without a server there, and a genuine metrics-server without its own.
    pub async fn install(control_plane: &ControlPlane) -> Self {
        assert!(!control_plane.outlives_tests(), "the stand-in for metrics-server is no guest in an existing cluster");
        let loads = Loads::default();
        let identity = Identity::of(&[&format!("{SERVICE}.{NAMESPACE}.svc")]);
        let authority = json!(ByteString(identity.certificate().as_bytes().to_vec()));
        let (tell_port, port) = oneshot::channel();
        let (of_server, loads_there) = (control_plane.clone(), Arc::clone(&loads));
        let serving = Background::start("metrics-stand-in", async move || {
            let server = Server { client: of_server.client().await, loads: loads_there };
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port can be bound");
            let address = listener.local_addr().expect("a listener has an address");
            tell_port.send(address.port()).expect("the installation waits for the port");
            let answer = move |request| {
                let server = server.clone();
                async move { server.answer(&request).await }
            };
            match tls::serve(listener, identity.acceptor(), answer).await {}
        });
        register(&control_plane.client().await, port.await.expect("the server listens"), &authority).await;
        Self { loads, _serving: serving }
    }

    /// Returns the stand-in on the control plane of this test process, installed on first use.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<Metrics> = OnceCell::const_new();
        SHARED.get_or_init(|| Self::install(ControlPlane::shared())).await
    }

    /// Says how busy the pods labelled `app: APP` of a namespace are from now on, all together, in thousandths of a
    /// processor. A workload of which nothing was said is idle.
    pub fn load(&self, namespace: &Namespace, app: &str, millicores: u64) {
        let key = (namespace.name().to_owned(), app.to_owned());
        self.loads.lock().expect("no holder of this lock panics").insert(key, millicores);
    }
}

impl Server {
    async fn answer(&self, request: &Request<Bytes>) -> Response<Full<Bytes>> {
        let path = request.uri().path().trim_end_matches('/');
        if path == BASE {
            return respond(StatusCode::OK, &discovery());
        }
        let query = request.uri().query().unwrap_or_default();
        let answer = match Asked::read(path) {
            Some(Asked::All) => Some(self.list("/api/v1/pods", query).await),
            Some(Asked::OfNamespace(namespace)) => {
                Some(self.list(&format!("/api/v1/namespaces/{namespace}/pods"), query).await)
            }
            Some(Asked::Of { namespace, name }) => {
                let list = self.list(&format!("/api/v1/namespaces/{namespace}/pods"), "").await;
                let mut items = list["items"].as_array().into_iter().flatten();
                items.find(|item| item["metadata"]["name"] == name).cloned()
            }
            None => None,
        };
        match answer {
            Some(answer) => respond(StatusCode::OK, &answer),
            None => respond(StatusCode::NOT_FOUND, &not_found(path)),
        }
    }

    /// Returns the PodMetricsList of the pods that a list of pods has under `query`, a label selector as it came.
    async fn list(&self, pods: &str, query: &str) -> Value {
        let rest = Rest(self.client.clone());
        let all = rest.items(pods).await;
        let mut sharing: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        for pod in all.iter().filter(|pod| serves(pod)) {
            *sharing.entry(workload(pod)).or_default() += 1;
        }
        let wanted = rest.items(&format!("{pods}?{query}")).await;
        let at = Timestamp::now();
        let loads = self.loads.lock().expect("no holder of this lock panics").clone();
        let nanocores = |pod: &Value| {
            let (namespace, app) = workload(pod);
            let load = loads.get(&(namespace.to_owned(), app.to_owned())).copied().unwrap_or(0);
            let sharers = sharing.get(&(namespace, app)).copied().unwrap_or(1).max(1);
            if serves(pod) { load * 1_000_000 / sharers } else { 0 }
        };
        let running = wanted.iter().filter(|pod| pod["status"]["phase"] == "Running");
        let items: Vec<Value> = running.map(|pod| pod_metrics(pod, nanocores(pod), at)).collect();
        json!({ "kind": "PodMetricsList", "apiVersion": "metrics.k8s.io/v1beta1", "metadata": {}, "items": items })
    }
}

/// What a path asks for.
enum Asked<'a> {
    All,
    OfNamespace(&'a str),
    Of { namespace: &'a str, name: &'a str },
}

impl<'a> Asked<'a> {
    fn read(path: &'a str) -> Option<Self> {
        let parts: Vec<&str> = path.strip_prefix(BASE)?.trim_start_matches('/').split('/').collect();
        match parts.as_slice() {
            ["pods"] => Some(Self::All),
            ["namespaces", namespace, "pods"] => Some(Self::OfNamespace(namespace)),
            ["namespaces", namespace, "pods", name] => Some(Self::Of { namespace, name }),
            _ => None,
        }
    }
}

fn workload(pod: &Value) -> (&str, &str) {
    (text(pod, "/metadata/namespace"), text(pod, "/metadata/labels/app"))
}

/// Whether a pod gets its share of the work.
fn serves(pod: &Value) -> bool {
    let mut conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    pod["metadata"]["deletionTimestamp"].is_null()
        && conditions.any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

fn pod_metrics(pod: &Value, nanocores: u64, at: Timestamp) -> Value {
    let containers = pod["spec"]["containers"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut first = Some(nanocores);
    // All that a pod does is done by its first container.
    let mut usage = || json!({ "cpu": format!("{}n", first.take().unwrap_or(0)), "memory": "16384Ki" });
    let containers: Vec<Value> =
        containers.iter().map(|container| json!({ "name": container["name"], "usage": usage() })).collect();
    json!({
        "metadata": {
            "name": pod["metadata"]["name"],
            "namespace": pod["metadata"]["namespace"],
            "labels": pod["metadata"]["labels"],
            "creationTimestamp": seconds(at),
        },
        "timestamp": seconds(at),
        "window": WINDOW,
        "containers": containers,
    })
}

/// Returns a time as the API writes it, in whole seconds.
fn seconds(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn discovery() -> Value {
    json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": "metrics.k8s.io/v1beta1",
        "resources": [{
            "name": "pods", "singularName": "", "namespaced": true, "kind": "PodMetrics", "verbs": ["get", "list"],
        }],
    })
}

fn not_found(path: &str) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "NotFound", "code": 404,
        "message": format!("nothing is served at {path}"),
    })
}

fn respond(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Registers a server that listens on `port` of this machine; returns once the API server reaches it.
async fn register(client: &Client, port: u16, authority: &Value) {
    // A Service of type ExternalName leads to a port of this machine; the certificate is for the Service's own name.
    let service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "name": SERVICE, "namespace": NAMESPACE },
        "spec": { "type": "ExternalName", "externalName": "localhost" },
    });
    let api_service = json!({
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": { "name": API_SERVICE },
        "spec": {
            "group": "metrics.k8s.io",
            "version": "v1beta1",
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
            "caBundle": authority,
            "service": { "namespace": NAMESPACE, "name": SERVICE, "port": port },
        },
    });
    for object in [&service, &api_service] {
        manifest::apply(client, FIELD_MANAGER, object, None).await;
    }
    let config = watcher::Config::default().fields(&format!("metadata.name={API_SERVICE}"));
    let api = Api::<APIService>::all(client.clone());
    wait::until(api, config, "metrics are available to the API server", DEADLINE, |services| {
        services.iter().any(|service| {
            service.status.as_ref().and_then(|status| status.conditions.as_ref()).is_some_and(|conditions| {
                conditions.iter().any(|condition| condition.type_ == "Available" && condition.status == "True")
            })
        })
    })
    .await;
}
