//! `start`, `stop`, `restart` and `migrate` of a VirtualMachine (reference 4 and 4.1; KubeVirt's lifecycle.go).

use http::{Response, StatusCode};
use http_body_util::Full;
use hyper::body::Bytes;
use kube::api::PostParams;
use serde::Deserialize;
use serde_json::{Value, json};

use super::failure::Failure;
use super::objects::{Kind, condition, is_dry_run, is_final, is_not_found, message};
use super::{VirtApi, empty, read_body};
use crate::namespace::from_json;

type Answer = Result<Response<Full<Bytes>>, Failure>;

const NOT_RUNNING: &str = "VM is not running";
const GRACE_PERIOD: &str = "/spec/terminationGracePeriodSeconds";
const CHANGES: &str = "/status/stateChangeRequests";

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct StartOptions {
    paused: bool,
    dry_run: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct StopOptions {
    grace_period: Option<i64>,
    dry_run: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct RestartOptions {
    grace_period_seconds: Option<i64>,
    dry_run: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct MigrateOptions {
    added_node_selector: Option<Value>,
    dry_run: Vec<String>,
}

impl VirtApi {
    pub(super) async fn start(&self, namespace: &str, name: &str, body: &[u8]) -> Answer {
        let vm = self.vm(namespace, name).await?;
        let vmi = self.vmi_if_any(namespace, name).await?;
        let phase = vmi.as_ref().and_then(|vmi| vmi["status"]["phase"].as_str()).unwrap_or_default();
        if !matches!(phase, "" | "Unknown" | "Succeeded" | "Failed") {
            // OBSERVED, confirmed 4.1.
            return Err(Failure::conflict(name, "VM is already running"));
        }
        refuse_recovery(&vm, name, "ManualRecoveryRequired")?;
        let options: StartOptions = read_body(body)?;
        let strategy = run_strategy(&vm)?;
        let mut start = json!({ "action": "Start" });
        if options.paused {
            start["data"] = json!({ "paused": "true" });
        }
        match strategy {
            "Halted" if !options.paused => self.set_running(&vm, namespace, name, true, &options.dry_run).await?,
            "Halted" => self.request_changes(&vm, namespace, name, vec![start], &options.dry_run).await?,
            "RerunOnFailure" if phase == "Failed" => {
                return Err(Failure::conflict(name, "RerunOnFailure does not support starting VM from failed state"));
            }
            "RerunOnFailure" | "Manual" => {
                let mut changes = vec![start];
                if let Some(vmi) = vmi.as_ref().filter(|_| phase == "Succeeded" || phase == "Failed") {
                    changes.insert(0, stop_request(vmi));
                }
                self.request_changes(&vm, namespace, name, changes, &options.dry_run).await?;
            }
            "Always" | "Once" => {
                return Err(Failure::conflict(name, &format!("{strategy} does not support manual start requests")));
            }
            _ => {}
        }
        Ok(empty(StatusCode::ACCEPTED))
    }

    pub(super) async fn stop(&self, namespace: &str, name: &str, body: &[u8]) -> Answer {
        let options: StopOptions = read_body(body)?;
        let vm = self.vm(namespace, name).await?;
        let strategy = run_strategy(&vm)?;
        let running = self.vmi_if_any(namespace, name).await?.filter(|vmi| !is_final(vmi));
        if let (Some(vmi), Some(seconds)) = (&running, options.grace_period) {
            self.set_grace_period(vmi, namespace, name, seconds, &options.dry_run).await?;
        }
        match (strategy, &running) {
            ("Halted" | "RerunOnFailure" | "Manual", None) => return Err(Failure::conflict(name, NOT_RUNNING)),
            ("Halted", Some(vmi)) => {
                let before = vmi["spec"]["terminationGracePeriodSeconds"].as_i64();
                let is_shorter = options.grace_period.is_some_and(|wanted| before.is_none_or(|before| wanted < before));
                if !is_shorter {
                    let why = "Halted only supports manual stop requests with a shorter graceperiod";
                    return Err(Failure::conflict(name, why));
                }
                self.request_changes(&vm, namespace, name, vec![stop_request(vmi)], &options.dry_run).await?;
            }
            // The strategy stays, so virt-controller is asked.
            ("RerunOnFailure" | "Manual", Some(vmi)) => {
                self.request_changes(&vm, namespace, name, vec![stop_request(vmi)], &options.dry_run).await?;
            }
            // OBSERVED, confirmed 4.1: Always becomes Halted.
            ("Always" | "Once", _) => self.set_running(&vm, namespace, name, false, &options.dry_run).await?,
            _ => {}
        }
        Ok(empty(StatusCode::ACCEPTED))
    }

    pub(super) async fn restart(&self, namespace: &str, name: &str, body: &[u8]) -> Answer {
        let options: RestartOptions = read_body(body)?;
        match options.grace_period_seconds {
            Some(1..) => {
                let message = "For force restart, only gracePeriod=0 is supported for now";
                return Err(Failure::bad_request(message));
            }
            Some(i64::MIN..=-1) => {
                return Err(Failure::bad_request("gracePeriod has to be greater or equal to 0"));
            }
            _ => {}
        }
        let vm = self.vm(namespace, name).await?;
        refuse_recovery(&vm, name, "VolumesChange")?;
        let strategy = run_strategy(&vm)?;
        if matches!(strategy, "Halted" | "Once") {
            // Sic, both.
            let why = format!("RunStategy {strategy} does not support manual restart requests");
            return Err(Failure::conflict(name, &why));
        }
        let Some(vmi) = self.vmi_if_any(namespace, name).await? else {
            return Err(Failure::conflict(name, "VM is not running: Halted"));
        };
        if options.grace_period_seconds == Some(0) {
            // Reference 4.1: 0 is taken as 1 s.
            self.set_grace_period(&vmi, namespace, name, 1, &options.dry_run).await?;
        }
        let changes = vec![stop_request(&vmi), json!({ "action": "Start" })];
        self.request_changes(&vm, namespace, name, changes, &options.dry_run).await?;
        Ok(empty(StatusCode::ACCEPTED))
    }

    pub(super) async fn migrate(&self, namespace: &str, name: &str, body: &[u8]) -> Answer {
        let options: MigrateOptions = read_body(body)?;
        self.vm(namespace, name).await?;
        let vmi = self.vmi(namespace, name).await?;
        if vmi["status"]["phase"] != "Running" {
            return Err(Failure::conflict(name, NOT_RUNNING));
        }
        let mut spec = json!({ "vmiName": name });
        if let Some(selector) = options.added_node_selector {
            spec["addedNodeSelector"] = selector;
        }
        let migration = from_json(json!({
            "apiVersion": "kubevirt.io/v1",
            "kind": "VirtualMachineInstanceMigration",
            "metadata": { "generateName": "kubevirt-migrate-vm-" },
            "spec": spec,
        }));
        let parameters = PostParams { dry_run: is_dry_run(&options.dry_run), ..PostParams::default() };
        self.api(Kind::Migration, namespace)
            .create(&parameters, &migration)
            .await
            .map_err(|error| Failure::internal(&message(&error)))?;
        Ok(empty(StatusCode::ACCEPTED))
    }

    async fn vmi_if_any(&self, namespace: &str, name: &str) -> Result<Option<Value>, Failure> {
        match self.get(Kind::VirtualMachineInstance, namespace, name).await {
            Ok(vmi) => Ok(Some(vmi)),
            Err(error) if is_not_found(&error) => Ok(None),
            Err(error) => Err(Failure::internal(&message(&error))),
        }
    }

    /// Writes the run strategy Always or Halted, in the field that the VM uses for it.
    async fn set_running(
        &self,
        vm: &Value,
        namespace: &str,
        name: &str,
        is_running: bool,
        dry_run: &[String],
    ) -> Result<(), Failure> {
        let spec = &vm["spec"];
        let (field, value) = if spec["runStrategy"].is_null() {
            ("running", json!(is_running))
        } else {
            ("runStrategy", json!(if is_running { "Always" } else { "Halted" }))
        };
        let pointer = format!("/spec/{field}");
        let patch = json!([
            { "op": "test", "path": pointer, "value": spec[field] },
            { "op": if spec[field].is_null() { "add" } else { "replace" }, "path": pointer, "value": value },
        ]);
        self.patch(Kind::VirtualMachine, namespace, name, patch, dry_run)
            .await
            .map_err(|error| patch_failed(name, &error))
    }

    async fn set_grace_period(
        &self,
        vmi: &Value,
        namespace: &str,
        name: &str,
        seconds: i64,
        dry_run: &[String],
    ) -> Result<(), Failure> {
        let patch = json!([
            { "op": "test", "path": GRACE_PERIOD, "value": vmi["spec"]["terminationGracePeriodSeconds"] },
            { "op": "add", "path": GRACE_PERIOD, "value": seconds },
        ]);
        self.patch(Kind::VirtualMachineInstance, namespace, name, patch, dry_run)
            .await
            .map_err(|error| Failure::internal(&message(&error)))
    }

    /// Asks virt-controller for changes, through the VM's status.
    async fn request_changes(
        &self,
        vm: &Value,
        namespace: &str,
        name: &str,
        changes: Vec<Value>,
        dry_run: &[String],
    ) -> Result<(), Failure> {
        let status = &vm["status"];
        let mut patch = if status.as_object().is_none_or(serde_json::Map::is_empty) {
            vec![json!({ "op": "add", "path": "/status", "value": { "stateChangeRequests": changes } })]
        } else {
            let present = &status["stateChangeRequests"];
            let is_stop = matches!(changes.as_slice(), [only] if only["action"] == "Stop");
            if !is_stop && present.as_array().is_some_and(|present| !present.is_empty()) {
                return Err(Failure::internal("unable to complete request: stop/start already underway"));
            }
            vec![
                json!({ "op": "test", "path": CHANGES, "value": present }),
                json!({ "op": "add", "path": CHANGES, "value": changes }),
            ]
        };
        if !status["startFailure"].is_null() {
            patch.push(json!({ "op": "remove", "path": "/status/startFailure" }));
        }
        self.patch_status(namespace, name, Value::Array(patch), dry_run)
            .await
            .map_err(|error| patch_failed(name, &error))
    }
}

fn stop_request(vmi: &Value) -> Value {
    json!({ "action": "Stop", "uid": vmi["metadata"]["uid"] })
}

/// Returns the run strategy by either of its fields (reference 1.1).
fn run_strategy(vm: &Value) -> Result<&str, Failure> {
    match (&vm["spec"]["running"], vm["spec"]["runStrategy"].as_str()) {
        (Value::Bool(_), Some(_)) => Err(Failure::internal("running and runstrategy are mutually exclusive")),
        (Value::Bool(true), None) => Ok("Always"),
        (_, Some(strategy)) => Ok(strategy),
        _ => Ok("Halted"),
    }
}

fn refuse_recovery(vm: &Value, name: &str, kind: &str) -> Result<(), Failure> {
    if condition(vm, kind).is_some_and(|condition| condition["status"] == "True") {
        return Err(Failure::conflict(
            name,
            "VM recovery required: Volume migration failed, leaving some volumes pointing to non-consistent targets; \
             manual intervention is needed to reassign them to their original volumes.",
        ));
    }
    Ok(())
}

fn patch_failed(name: &str, error: &kube::Error) -> Failure {
    let message = message(error);
    if message.contains("jsonpatch test operation does not apply") {
        return Failure::conflict(name, &message);
    }
    Failure::internal(&message)
}
