//! What happens to a VirtualMachineInstanceMigration on its way into the cluster (reference 3.4; KubeVirt's
//! migration-create-mutator, migration-create-admitter and migration-update-admitter).

use kube::api::ListParams;
use serde_json::{Value, json};

use super::VirtApi;
use super::admission::{Review, Verdict};
use super::objects::{Kind, condition, is_final, is_not_found, message};
use crate::kubevirt::Account;

/// The finalizer under which a migration waits for virt-controller, until it is final.
const FINALIZER: &str = "kubevirt.io/migrationJobFinalize";

/// The label with the name of the VMI.
const VMI_LABEL: &str = "kubevirt.io/vmi-name";

impl VirtApi {
    pub(super) fn mutate_migration(review: &Review) -> Verdict {
        let mut labels = review.object["metadata"]["labels"].as_object().cloned().unwrap_or_default();
        labels.insert(String::from(VMI_LABEL), json!(vmi_name(&review.object)));
        let mut finalizers = review.object["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
        finalizers.push(json!(FINALIZER));
        Verdict::Patched(json!([
            { "op": "add", "path": "/metadata/labels", "value": labels },
            { "op": "add", "path": "/metadata/finalizers", "value": finalizers },
        ]))
    }

    pub(super) async fn judge_new_migration(&self, review: &Review) -> Verdict {
        let (namespace, name) = (&review.namespace, vmi_name(&review.object));
        if name.is_empty() {
            return Verdict::invalid("vmiName is missing", "FieldValueRequired", Some("spec.vmiName"));
        }
        // OBSERVED, confirmed 3.4.
        if !review.object["spec"]["priority"].is_null() && review.user() != Account::Controller.user_name() {
            return Verdict::invalid(
                "Migration priority queue, only virt-controller is allowed to set priority field",
                "FieldValueForbidden",
                Some("spec.migrationPriority"),
            );
        }
        let vmi = match self.get(Kind::VirtualMachineInstance, namespace, name).await {
            Ok(vmi) => vmi,
            Err(error) if is_not_found(&error) => {
                return Verdict::bad_request(format!("the VMI \"{namespace}/{name}\" does not exist"));
            }
            Err(error) => return Verdict::bad_request(message(&error)),
        };
        if is_final(&vmi) {
            return Verdict::bad_request("Cannot migrate VMI in finalized state.");
        }
        // Reference 1.1: only a condition that says False; one that is not there yet does not.
        if let Some(condition) = condition(&vmi, "LiveMigratable").filter(|condition| condition["status"] == "False") {
            let text = |field: &str| condition[field].as_str().unwrap_or_default();
            return Verdict::bad_request(format!(
                "Cannot migrate VMI, Reason: {}, Message: {}",
                text("reason"),
                text("message")
            ));
        }
        self.judge_conflict(namespace, name).await
    }

    async fn judge_conflict(&self, namespace: &str, name: &str) -> Verdict {
        let selection = ListParams::default().labels(&format!("{VMI_LABEL} in ({name})"));
        let migrations = match self.api(Kind::Migration, namespace).list(&selection).await {
            Ok(migrations) => migrations,
            Err(error) => return Verdict::bad_request(message(&error)),
        };
        let active = migrations
            .iter()
            .find(|migration| !matches!(migration.data["status"]["phase"].as_str(), Some("Succeeded" | "Failed")));
        let Some(active) = active else { return Verdict::Allowed };
        Verdict::bad_request(format!(
            "in-flight migration detected. Active migration job ({}) is currently already in progress for VMI {name}.",
            active.metadata.uid.as_deref().unwrap_or_default()
        ))
    }

    pub(super) fn judge_changed_migration(review: &Review) -> Verdict {
        let (new, old) = (&review.object, &review.old_object);
        if new["spec"] != old["spec"] {
            let message = "update of Migration object's spec is restricted";
            return Verdict::invalid(message, "FieldValueNotSupported", None);
        }
        let label = |migration: &Value| migration["metadata"]["labels"][VMI_LABEL].clone();
        let is_in_flight = !matches!(new["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
        if is_in_flight && !label(old).is_null() && label(new) != label(old) {
            let change = if new["metadata"]["labels"].is_object() { "modified on" } else { "removed from" };
            let message = format!("selector label can't be {change} an in-flight migration");
            return Verdict::invalid(message, "FieldValueNotSupported", None);
        }
        Verdict::Allowed
    }
}

fn vmi_name(migration: &Value) -> &str {
    migration["spec"]["vmiName"].as_str().unwrap_or_default()
}
