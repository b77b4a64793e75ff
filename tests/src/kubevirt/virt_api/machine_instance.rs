//! What happens to a VirtualMachineInstance on its way into the cluster (reference 1 and 1.1; KubeVirt's vmi-mutator,
//! vmi-create-admitter and vmi-update-admitter).

use serde_json::{Map, Value, json};

use super::VirtApi;
use super::admission::{Review, Verdict};
use crate::kubevirt::Account;

/// The finalizer under which a VMI waits for virt-controller.
const FINALIZER: &str = "kubevirt.io/foregroundDeleteVirtualMachine";

/// Labels that only KubeVirt's own accounts may set (KubeVirt's restrictedVmiLabels).
const RESERVED_LABELS: [&str; 6] = [
    "kubevirt.io/created-by",
    "kubevirt.io/migrationJobUID",
    "kubevirt.io/nodeName",
    "kubevirt.io/migrationTargetNodeName",
    "kubevirt.io/schedulable",
    "kubevirt.io/install-strategy",
];

impl VirtApi {
    /// Completes a new VMI; undoes what others than KubeVirt change of the status of one that is there.
    pub(super) async fn mutate_vmi(&self, review: &Review) -> Verdict {
        if review.operation == "CREATE" {
            return Verdict::Patched(self.completed(&review.object).await);
        }
        // OBSERVED, confirmed 1: the request succeeds and the status stays as it was.
        if review.object["status"] != review.old_object["status"] && !is_kubevirts(review.user()) {
            let status = &review.old_object["status"];
            return Verdict::Patched(match status {
                Value::Null => json!([{ "op": "remove", "path": "/status" }]),
                _ => json!([{ "op": "add", "path": "/status", "value": status }]),
            });
        }
        Verdict::Allowed
    }

    async fn completed(&self, vmi: &Value) -> Value {
        let kubevirt = self.kubevirt().await;
        let mut patch = Vec::new();
        let mut add = |path: &str, value: Value| patch.push(json!({ "op": "add", "path": path, "value": value }));
        if vmi["spec"]["evictionStrategy"].is_null() {
            // Reference 1.1: copied here and frozen. OBSERVED (c): None as a word.
            add("/spec/evictionStrategy", json!(self.default_strategy().await));
        }
        if vmi["spec"]["architecture"].as_str().unwrap_or_default().is_empty() {
            add("/spec/architecture", kubevirt["status"]["defaultArchitecture"].as_str().unwrap_or_default().into());
        }
        let mut finalizers = vmi["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
        finalizers.push(json!(FINALIZER));
        add("/metadata/finalizers", Value::Array(finalizers));
        let mut status = vmi["status"].as_object().cloned().unwrap_or_default();
        let mut transitions = status.get("phaseTransitionTimestamps").and_then(Value::as_array).cloned();
        let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        transitions.get_or_insert_default().push(json!({ "phase": "Pending", "phaseTransitionTimestamp": now }));
        status.insert(String::from("phase"), json!("Pending"));
        status.insert(String::from("phaseTransitionTimestamps"), json!(transitions));
        add("/status", Value::Object(status));
        Value::Array(patch)
    }

    pub(super) fn judge_new_vmi(review: &Review) -> Verdict {
        // OBSERVED, corrections 1.
        let architecture = review.object["spec"]["architecture"].as_str().unwrap_or_default();
        if !matches!(architecture, "amd64" | "arm64" | "s390x") {
            let message = format!("unsupported architecture: {architecture}");
            return Verdict::invalid(message, "FieldValueInvalid", Some("spec.architecture"));
        }
        if !is_kubevirts(review.user()) && !reserved_labels(&review.object).is_empty() {
            return Verdict::invalid(
                "creation of the following reserved kubevirt.io/ labels on a VMI object is prohibited",
                "FieldValueNotSupported",
                Some("metadata.labels"),
            );
        }
        Verdict::Allowed
    }

    pub(super) fn judge_changed_vmi(review: &Review) -> Verdict {
        if is_kubevirts(review.user()) {
            return Verdict::Allowed;
        }
        if review.object["spec"] != review.old_object["spec"] {
            return Verdict::invalid("update of VMI object is restricted", "FieldValueNotSupported", None);
        }
        if reserved_labels(&review.object) != reserved_labels(&review.old_object) {
            // OBSERVED, confirmed 1.
            return Verdict::invalid(
                "modification of the following reserved kubevirt.io/ labels on a VMI object is prohibited",
                "FieldValueNotSupported",
                None,
            );
        }
        Verdict::Allowed
    }
}

fn reserved_labels(vmi: &Value) -> Map<String, Value> {
    let labels = vmi["metadata"]["labels"].as_object().cloned().unwrap_or_default();
    labels.into_iter().filter(|(label, _)| RESERVED_LABELS.contains(&label.as_str())).collect()
}

/// Returns whether a user is one of KubeVirt's own accounts.
fn is_kubevirts(user: &str) -> bool {
    [Account::Api, Account::Controller, Account::Handler].iter().any(|account| account.user_name() == user)
}
