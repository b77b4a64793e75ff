//! `evacuate/cancel`: takes the mark of an evacuation off a VMI (OBSERVED (h); KubeVirt's evacuate_cancel.go).

use http::{Response, StatusCode};
use http_body_util::Full;
use hyper::body::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::failure::Failure;
use super::objects::{Kind, is_not_found, message};
use super::{VirtApi, empty, read_body};

/// The path that is tested and removed.
const MARK: &str = "/status/evacuationNodeName";

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Options {
    evacuation_node_name: String,
    dry_run: Vec<String>,
}

impl VirtApi {
    pub(super) async fn cancel_evacuation(
        &self,
        vmi: Result<Value, Failure>,
        namespace: &str,
        name: &str,
        body: &[u8],
    ) -> Result<Response<Full<Bytes>>, Failure> {
        let vmi = vmi?;
        let marked = vmi["status"]["evacuationNodeName"].as_str().unwrap_or_default();
        // The node of the mark, else the VMI's own.
        let node = if marked.is_empty() { vmi["status"]["nodeName"].as_str().unwrap_or_default() } else { marked };
        self.refuse_drain_taint(node).await?;
        // OBSERVED (h): nothing to do is 200, whatever the body says.
        if marked.is_empty() {
            return Ok(empty(StatusCode::OK));
        }
        let options: Options = read_body(body)?;
        // OBSERVED (h): a name that does not fit, or none, fails as a patch does.
        let patch = json!([
            { "op": "test", "path": MARK, "value": options.evacuation_node_name },
            { "op": "remove", "path": MARK },
        ]);
        self.patch(Kind::VirtualMachineInstance, namespace, name, patch, &options.dry_run)
            .await
            .map_err(|error| Failure::internal(&message(&error)))?;
        Ok(empty(StatusCode::OK))
    }

    /// OBSERVED (h): 400 where the node has the taint that would mark the VMI's evacuation again.
    async fn refuse_drain_taint(&self, node: &str) -> Result<(), Failure> {
        if node.is_empty() {
            // A Go client does not even send this.
            return Err(Failure::internal("resource name may not be empty"));
        }
        let found = self.nodes().get(node).await.map_err(|error| Failure::internal(&message(&error)))?;
        let kubevirt = self.kubevirt().await;
        let key = kubevirt["spec"]["configuration"]["migrations"]["nodeDrainTaintKey"]
            .as_str()
            .unwrap_or("kubevirt.io/drain")
            .to_owned();
        let taints = found.spec.and_then(|spec| spec.taints).unwrap_or_default();
        if taints.iter().any(|taint| taint.key == key && taint.effect == "NoSchedule") {
            return Err(Failure::bad_request(&format!(
                "Node \"{node}\" has NodeDrainTaintKey \"&Taint{{Key:{key},Value:,Effect:NoSchedule,TimeAdded:<nil>,}}\""
            )));
        }
        Ok(())
    }

    pub(super) async fn vm(&self, namespace: &str, name: &str) -> Result<Value, Failure> {
        let found = self.get(Kind::VirtualMachine, namespace, name).await;
        found.map_err(|error| not_retrieved(&error, "virtualmachine", "vm", name))
    }

    pub(super) async fn vmi(&self, namespace: &str, name: &str) -> Result<Value, Failure> {
        let found = self.get(Kind::VirtualMachineInstance, namespace, name).await;
        found.map_err(|error| not_retrieved(&error, "virtualmachineinstance", "vmi", name))
    }

    /// Returns the VMI that belongs to a VM.
    pub(super) async fn vmi_of_vm(&self, namespace: &str, name: &str) -> Result<Value, Failure> {
        let vm = self.vm(namespace, name).await?;
        if vm["status"]["created"] != true {
            return Err(Failure::conflict(name, "VMI is not started"));
        }
        let vmi = self.vmi(namespace, name).await?;
        let owners = vmi["metadata"]["ownerReferences"].as_array().map(Vec::as_slice).unwrap_or_default();
        if owners.iter().any(|owner| owner["uid"] == vm["metadata"]["uid"]) {
            return Ok(vmi);
        }
        Err(Failure::internal(&format!("unable to retrieve vmi [{name}] for vm: <nil>")))
    }
}

fn not_retrieved(error: &kube::Error, kind: &'static str, short: &str, name: &str) -> Failure {
    if is_not_found(error) {
        return Failure::not_found(kind, name);
    }
    Failure::internal(&format!("unable to retrieve {short} [{name}]: {}", message(error)))
}
