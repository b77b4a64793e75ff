//! What must hold of the requests of every run, whatever happened to them, read from the server's audit log.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use e2e::{AuditEvent, AuditLog};
use serde_json::Value;

/// Reads the requests of all runs of one case, in which every pod on `node` has something to hand over and every
/// workload may have one pod more; writes down what is wrong. `pods` is how many had to leave.
pub(crate) fn judge(audit: &AuditLog, node: &str, pods: usize, what: &mut String) {
    let mut judge =
        Judge { node, what, has_lease: false, is_cordoned: false, detached: BTreeMap::new(), evicted: BTreeSet::new() };
    for event in audit.mutating() {
        judge.hear(event);
    }
    let (evicted, detached) = (judge.evicted.len(), judge.detached.len());
    if evicted != pods || detached != 0 {
        let _ = writeln!(what, "{evicted} pods were evicted instead of {pods}, and {detached} stayed detached");
    }
}

struct Judge<'a> {
    node: &'a str,
    what: &'a mut String,
    has_lease: bool,
    is_cordoned: bool,
    /// The pods that are outside their ReplicaSet now, with its uid.
    detached: BTreeMap<String, String>,
    evicted: BTreeSet<String>,
}

impl Judge<'_> {
    fn hear(&mut self, event: &AuditEvent) {
        let is_done = (200..300).contains(&event.code);
        match (event.verb.as_str(), event.resource.as_str(), event.subresource.as_str()) {
            ("create", "selfsubjectaccessreviews", _) => {}
            (_, "leases", _)
                if event.namespace == "kube-node-lease" && event.name == format!("handover-{}", self.node) =>
            {
                self.has_lease =
                    if event.verb == "delete" { self.has_lease && !is_done } else { self.has_lease || is_done };
            }
            ("patch", "pods", "") if event.dry_run => {}
            ("patch", "nodes", "") => {
                self.demand(self.has_lease, event, "without the lease");
                self.demand(event.name == self.node, event, "on another node");
                self.is_cordoned |= is_done;
            }
            ("patch", "pods", "") => {
                self.demand(self.has_lease && self.is_cordoned, event, "before the lease and the cordon");
                self.patched(event, is_done);
            }
            ("create", "events", "") => self.demand(self.has_lease, event, "without the lease"),
            ("create", "pods", "eviction") => {
                self.demand(self.has_lease && self.is_cordoned, event, "before the lease and the cordon");
                self.evict(event, is_done);
            }
            _ => self.complain(event, "is nothing that a drain sends"),
        }
    }

    /// A detach carries the pod's uid and version and the record of how to undo it, in one write, and no workload has
    /// two pods outside its ReplicaSet.
    fn patched(&mut self, event: &AuditEvent, is_done: bool) {
        let body = event.request_object.clone().unwrap_or_default();
        let metadata = &body["metadata"];
        self.demand(metadata["uid"].is_string(), event, "without a uid");
        let hash = metadata["labels"]["pod-template-hash"].as_str();
        if hash == Some("handover") {
            let record = metadata["annotations"]["handover/detached"].as_str();
            let record: Value = record.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
            let set = record["replicaSetUid"].as_str().unwrap_or_default().to_owned();
            self.demand(metadata["resourceVersion"].is_string(), event, "without a version");
            self.demand(!set.is_empty(), event, "without the record of how to undo it");
            if is_done {
                let others: Vec<_> =
                    self.detached.iter().filter(|(_, other)| **other == set).map(|(pod, _)| pod.clone()).collect();
                self.demand(others.is_empty(), event, &format!("while {others:?} are detached as well"));
                self.detached.insert(event.name.clone(), set);
            }
        } else if hash.is_some() && is_done {
            self.detached.remove(&event.name);
        }
    }

    /// An eviction names its pod's uid, comes after the pod was detached, and is not asked for again once it is done.
    fn evict(&mut self, event: &AuditEvent, is_done: bool) {
        let body = event.request_object.clone().unwrap_or_default();
        self.demand(body["deleteOptions"]["preconditions"]["uid"].is_string(), event, "without a uid");
        self.demand(!event.dry_run, event, "as a dry run");
        if is_done {
            let is_detached = self.detached.remove(&event.name).is_some();
            // The server answers a second eviction of a pod that is already leaving as it answered the first.
            self.demand(is_detached || self.evicted.contains(&event.name), event, "of a pod that was not detached");
            self.evicted.insert(event.name.clone());
        }
    }

    fn demand(&mut self, holds: bool, event: &AuditEvent, complaint: &str) {
        if !holds {
            self.complain(event, complaint);
        }
    }

    fn complain(&mut self, event: &AuditEvent, complaint: &str) {
        let _ = writeln!(self.what, "{} {complaint}", event.summary());
    }
}
