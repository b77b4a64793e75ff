//! The webhook that is asked before a launcher or hotplug pod is evicted. The order of its cases is reference 2; the
//! sentences are OBSERVED's table "Exact answers".

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::VirtApi;
use super::admission::{Review, Verdict};
use super::objects::{Kind, condition, is_not_found, message};

/// The label that says what part of KubeVirt a pod is, and its values.
const APP_LABEL: &str = "kubevirt.io";
const LAUNCHER: &str = "virt-launcher";
const HOTPLUG: &str = "hotplug-disk";

/// The annotation of a launcher with the name of its VMI.
const DOMAIN: &str = "kubevirt.io/domain";

/// The annotation of a VMI that says that the descheduler asked.
const EVICTION_SOURCE: &str = "kubevirt.io/eviction-source";

impl VirtApi {
    pub(super) async fn judge_eviction(&self, review: &Review) -> Verdict {
        // Reference 2, 1: a pod that is not there, not KubeVirt's, or finished, is not protected.
        let Ok(pod) = self.pods(&review.namespace).get(&review.name).await else { return Verdict::Allowed };
        match label(&pod) {
            Some(HOTPLUG) if owners(&pod).len() == 1 => self.judge_hotplug(&pod, &review.namespace).await,
            Some(LAUNCHER) if !is_finished(&pod) => self.judge_launcher(&pod, review).await,
            _ => Verdict::Allowed,
        }
    }

    /// Reference 2, 9.
    async fn judge_hotplug(&self, pod: &Pod, namespace: &str) -> Verdict {
        let owners = owners(pod);
        let Some(owner) = owners.first() else { return Verdict::Allowed };
        let launcher = match self.pods(namespace).get(owner).await {
            Ok(launcher) => launcher,
            Err(error) if is_not_found(&error) => return Verdict::Allowed,
            Err(error) => {
                return Verdict::not_now(format!("failed getting owner for hotplug pod: {}", message(&error)));
            }
        };
        if label(&launcher) != Some(LAUNCHER) || is_finished(&launcher) {
            return Verdict::Allowed;
        }
        let Some(vmi) = domain(&launcher) else { return Verdict::Allowed };
        match self.get(Kind::VirtualMachineInstance, namespace, vmi).await {
            Ok(_) => {
                let name = pod.metadata.name.as_deref().unwrap_or_default();
                Verdict::not_now(format!(
                    "cannot evict hotplug pod: {name} associated with running vmi: {vmi} in namespace {namespace}"
                ))
            }
            Err(error) if is_not_found(&error) => Verdict::Allowed,
            Err(error) => Verdict::not_now(format!("kubevirt failed getting the vmi: {}", message(&error))),
        }
    }

    async fn judge_launcher(&self, pod: &Pod, review: &Review) -> Verdict {
        let namespace = &review.namespace;
        let Some(name) = domain(pod) else { return Verdict::Allowed };
        // Reference 2, 2: also when the VMI is gone.
        let vmi = match self.get(Kind::VirtualMachineInstance, namespace, name).await {
            Ok(vmi) => vmi,
            Err(error) => {
                return Verdict::not_now(format!("kubevirt failed getting the vmi: {}", message(&error)));
            }
        };
        // OBSERVED, table (b): a condition that is not there yet counts as False.
        let is_migratable = condition(&vmi, "LiveMigratable").is_some_and(|condition| condition["status"] == "True");
        let strategy = match vmi["spec"]["evictionStrategy"].as_str() {
            Some(strategy) => strategy.to_owned(),
            None => self.default_strategy().await,
        };
        match (strategy.as_str(), is_migratable) {
            // Reference 2, 3.
            ("LiveMigrate", false) => {
                return Verdict::not_now(format!(
                    "VMI {name} is configured with an eviction strategy but is not live-migratable"
                ));
            }
            ("LiveMigrate" | "LiveMigrateIfPossible", true) | ("External", _) => {}
            // Reference 2, 4. OBSERVED, corrections 6: IfPossible also while the guest boots.
            _ => return Verdict::Allowed,
        }
        let triggered = format!("Eviction triggered evacuation of VMI \"{namespace}/{name}\"");
        // Reference 2, 5. OBSERVED: before the pod's node is looked at, so also for the target.
        if vmi["status"]["evacuationNodeName"].as_str().is_some_and(|node| !node.is_empty()) {
            return Verdict::not_now(format!("Evacuation in progress: {triggered}"));
        }
        // Reference 2, 6. OBSERVED, corrections 5: both may be empty.
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or_default();
        if vmi["status"]["nodeName"].as_str().unwrap_or_default() != node {
            return Verdict::not_now("Eviction request for target Pod");
        }
        // Reference 2, 7 and 8.
        match self.mark(&vmi, namespace, name, node, review).await {
            Ok(()) => Verdict::not_now(triggered),
            Err(error) => {
                Verdict::not_now(format!("kubevirt failed marking the vmi for eviction: {}", message(&error)))
            }
        }
    }

    /// Writes the node's name into the VMI's status, or only rehearses it where the eviction is a dry run.
    async fn mark(
        &self,
        vmi: &Value,
        namespace: &str,
        name: &str,
        node: &str,
        review: &Review,
    ) -> Result<(), kube::Error> {
        let mut patch = vec![json!({ "op": "add", "path": "/status/evacuationNodeName", "value": node })];
        let requester = &review.object["metadata"]["annotations"]["requested-by"];
        if requester == "sigs.k8s.io/descheduler" {
            let has_annotations = vmi["metadata"]["annotations"].as_object().is_some_and(|found| !found.is_empty());
            patch.push(if has_annotations {
                let pointer = format!("/metadata/annotations/{}", EVICTION_SOURCE.replace('/', "~1"));
                json!({ "op": "add", "path": pointer, "value": "descheduler" })
            } else {
                let annotations = json!({ EVICTION_SOURCE: "descheduler" });
                json!({ "op": "add", "path": "/metadata/annotations", "value": annotations })
            });
        }
        // Reference 0, v1.4: the options in the body count as well.
        let in_body = &review.object["deleteOptions"]["dryRun"][0];
        let parameters = PatchParams { dry_run: review.dry_run || in_body == "All", ..PatchParams::default() };
        let patch = serde_json::from_value(Value::Array(patch)).map_err(kube::Error::SerdeError)?;
        let api = self.api(Kind::VirtualMachineInstance, namespace);
        api.patch(name, &parameters, &Patch::<()>::Json(patch)).await.map(drop)
    }

    /// Returns the strategy of VMIs that name none.
    pub(super) async fn default_strategy(&self) -> String {
        let configuration = &self.kubevirt().await["spec"]["configuration"];
        // Reference 0: the built-in default is the literal None.
        configuration["evictionStrategy"].as_str().unwrap_or("None").to_owned()
    }
}

fn label(pod: &Pod) -> Option<&str> {
    pod.metadata.labels.as_ref()?.get(APP_LABEL).map(String::as_str)
}

fn domain(pod: &Pod) -> Option<&str> {
    pod.metadata.annotations.as_ref()?.get(DOMAIN).map(String::as_str)
}

fn owners(pod: &Pod) -> Vec<&str> {
    pod.metadata.owner_references.iter().flatten().map(|owner| owner.name.as_str()).collect()
}

fn is_finished(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}
