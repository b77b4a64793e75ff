//! A MachineDeployment or MachinePool that stands for itself: copied object by object.

use serde_json::{Map, Value, json};

use super::object::{BOOTSTRAP, INFRASTRUCTURE, Set, reference};
use super::settings;
use super::{CLUSTER_NAME, ClusterApi, DEPLOYMENT_NAME, HEALTH_CHECK, text};
use crate::address::{Address, Reference};
use crate::copy_plan::{self, CopyPlan, CopyRequest, DocumentCopy, MARK, NAME, OF_THE_CONTROLLER, Part, SIZE};
use crate::difference::escaped;
use crate::document::Editor;
use crate::finding::{Finding, Refusal};
use crate::inventory::Inventory;
use crate::mark::{self, CopyMark, FROZEN};
use crate::pool::Pool;
use crate::provider::PoolReader;
use crate::step::Step;

/// What makes a copy another pool.
const FIXED: [&str; 6] =
    ["/apiVersion", "/kind", "/metadata/name", "/metadata/namespace", "/spec/selector", "/spec/clusterName"];

/// What is being copied, under which name.
struct Copying<'a> {
    inventory: &'a Inventory,
    pool: &'a Pool,
    set: &'a Set<'a>,
    request: &'a CopyRequest,
    name: String,
    size: Option<u32>,
    mark: CopyMark,
    findings: Vec<Finding>,
}

pub(super) fn copy(
    inventory: &Inventory,
    pool: &Pool,
    set: &Set<'_>,
    request: &CopyRequest,
) -> Result<CopyPlan, Refusal> {
    copy_plan::check_source(pool, request)?;
    let pools = ClusterApi.pools(inventory);
    let name = copy_plan::name_for(pool, &pools, request)?;
    let size = copy_plan::size_for(pool, &pools, request);
    let mark = CopyMark { source_was_frozen: pool.is_frozen, ..CopyMark::new(pool.source(), &request.maker) };
    let mut copying = Copying { inventory, pool, set, request, name, size, mark, findings: Vec::new() };
    let (main, clones) = copying.main()?;
    let mut documents = Vec::new();
    for (pointer, source, target) in clones {
        documents.push(copying.clone_of(pointer, &source, &target)?);
    }
    let kinds: Vec<_> = documents.iter().chain([&main]).map(|one| one.target.resource.kind.as_str()).collect();
    copy_plan::check_kinds(&request.overrides, &kinds)?;
    documents.push(main);
    let mut steps = Vec::new();
    for document in &documents {
        steps.extend(copy_plan::creation(inventory, document, pool)?);
    }
    let mut afterwards = Vec::new();
    for check in copying.health_checks() {
        afterwards.extend(copy_plan::creation(inventory, &check, pool)?);
        documents.insert(documents.len().saturating_sub(1), check);
    }
    afterwards.extend(freeze(set));
    copying.tell_of_keepers();
    Ok(CopyPlan {
        target: copying.name,
        size,
        documents,
        steps,
        afterwards,
        findings: copying.findings,
        start_up_taints: Vec::new(),
    })
}

type Clone = (&'static str, Reference, String);

impl Copying<'_> {
    /// Edits the pool's own object; returns it with the objects that have to be cloned for it.
    fn main(&mut self) -> Result<(DocumentCopy, Vec<Clone>), Refusal> {
        let address = self.set.address;
        let mut editor = Editor::new(address.to_string(), self.set.object);
        editor.set("/metadata/name", json!(self.name), NAME);
        self.mark.autoscaling = settings::strip_metadata(&mut editor, "/metadata");
        for (pointer, why) in [
            ("/spec/paused", settings::NOT_PAUSED),
            ("/spec/rolloutAfter", "a roll-out that was ordered for the source"),
            ("/spec/rollout/after", "a roll-out that was ordered for the source"),
            ("/spec/providerIDList", OF_THE_CONTROLLER),
        ] {
            editor.remove(pointer, why);
        }
        if editor.get("/spec/rollout").and_then(Value::as_object).is_some_and(Map::is_empty) {
            editor.remove("/spec/rollout", "nothing is left in it");
        }
        if editor.get(BOOTSTRAP).is_some() {
            editor.remove("/spec/template/spec/bootstrap/dataSecretName", OF_THE_CONTROLLER);
        }
        if !self.set.is_pool() {
            self.select_by_own_name(&mut editor);
        }
        if let Some(size) = self.size {
            editor.set("/spec/replicas", json!(size), SIZE);
        }
        let mut clones = Vec::new();
        for pointer in [BOOTSTRAP, INFRASTRUCTURE] {
            let namespace = address.namespace.as_deref();
            let Some(source) = editor.get(pointer).and_then(|value| reference(value, namespace)) else { continue };
            // Two MachinePools can never share: each owns what it refers to.
            if self.request.share_templates && !self.set.is_pool() {
                continue;
            }
            let target = renamed(&source.name, &address.name, &self.name);
            editor.set(
                &format!("{pointer}/name"),
                json!(target),
                "a clone of its own, so that no other pool's end is its end",
            );
            clones.push((pointer, source, target));
        }
        copy_plan::apply_overrides(&mut editor, &address.resource.kind, true, &self.request.overrides, &FIXED)?;
        editor.set(&mark::pointer(), json!(self.mark.text()), MARK);
        let (body, changes) = editor.finish();
        let target = address.beside(&self.name);
        Ok((DocumentCopy { source: address.clone(), target, part: Part::Whole, body, changes }, clones))
    }

    /// The controllers stamp the pool's name on every machine: a selector that keeps the source's never finds one.
    fn select_by_own_name(&self, editor: &mut Editor) {
        const WHY: &str = "its machines are labelled so; with the source's name it would make machines without end";
        let key = escaped(DEPLOYMENT_NAME);
        for map in ["/spec/selector/matchLabels", "/spec/template/metadata/labels"] {
            editor.set(&format!("{map}/{key}"), json!(self.name), WHY);
            editor.set(&format!("{map}/{}", escaped(CLUSTER_NAME)), json!(self.set.cluster_name()), WHY);
        }
    }

    /// Clones an object that the pool refers to.
    fn clone_of(&mut self, pointer: &str, source: &Reference, target: &str) -> Result<DocumentCopy, Refusal> {
        let Some((address, object)) = self.inventory.find(source) else {
            return Err(Refusal::Trouble {
                pool: self.pool.title(),
                trouble: format!("it refers to {source} ({pointer}), which does not exist or may not be read"),
                remedies: vec!["--share-templates".to_owned()],
            });
        };
        let mut editor = Editor::new(address.to_string(), object);
        editor.set("/metadata/name", json!(target), NAME);
        settings::strip_metadata(&mut editor, "/metadata");
        for pointer in ["/spec/providerID", "/spec/providerIDList", "/spec/template/spec/providerID"] {
            editor.remove(pointer, OF_THE_CONTROLLER);
        }
        self.rename_in_cloud(&mut editor, &address.resource.kind);
        let kind = &address.resource.kind;
        copy_plan::apply_overrides(&mut editor, kind, false, &self.request.overrides, &FIXED[..4])?;
        editor.set(&mark::pointer(), json!(self.mark.text()), MARK);
        let (body, changes) = editor.finish();
        let target = address.beside(target);
        Ok(DocumentCopy { source: address.clone(), target, part: Part::Whole, body, changes })
    }

    /// Some infrastructure kinds hold the name that the cloud knows the pool by, which two pools may not share.
    fn rename_in_cloud(&mut self, editor: &mut Editor, kind: &str) {
        let old = &self.set.address.name;
        let Some(spec) = editor.get("/spec").cloned() else { return };
        for pointer in places_of(&spec, old, "/spec") {
            let key = pointer.rsplit('/').next().unwrap_or_default();
            let is_known = matches!(key, "eksNodegroupName" | "nodePoolName")
                || (kind == "AzureManagedMachinePool" && pointer == "/spec/name");
            if is_known {
                editor.set(&pointer, json!(self.name), "the cloud knows the pool by this name");
            } else {
                self.findings.push(Finding::new(
                    format!("{kind} says {old:?} at {pointer}, and so does its clone: is that the pool's name?"),
                    format!("--set {kind}:{pointer}={}", self.name),
                ));
            }
        }
    }

    /// Copies the health checks that look for the source's machines.
    fn health_checks(&self) -> Vec<DocumentCopy> {
        let pointer = format!("/spec/selector/matchLabels/{}", escaped(DEPLOYMENT_NAME));
        let old = self.set.address;
        self.inventory
            .of(HEALTH_CHECK)
            .filter(|(address, check)| {
                address.namespace == old.namespace && text(check, &pointer) == Some(&old.name) && !self.set.is_pool()
            })
            .map(|(address, check)| {
                let mut editor = Editor::new(address.to_string(), check);
                let target = address.beside(&renamed(&address.name, &old.name, &self.name));
                editor.set("/metadata/name", json!(target.name), NAME);
                settings::strip_metadata(&mut editor, "/metadata");
                editor.set(&pointer, json!(self.name), "it watches the copy's machines");
                editor.set(&mark::pointer(), json!(self.mark.text()), MARK);
                let (body, changes) = editor.finish();
                DocumentCopy { source: address.clone(), target, part: Part::Whole, body, changes }
            })
            .collect()
    }

    fn tell_of_keepers(&mut self) {
        self.findings.extend(copy_plan::keepers_finding(self.pool, self.set.object));
        if let Some(scaled_by) = settings::scaled_by(self.set.object) {
            self.findings.push(Finding::note(format!(
                "the pool's size is changed by {scaled_by}: off in the copy, and in the source once the copy is ready; \
                 the copy gets it when the source is retired"
            )));
        }
    }
}

/// Returns the name of an object that goes with a pool, for a pool of another name.
fn renamed(name: &str, old: &str, new: &str) -> String {
    match name.strip_prefix(old) {
        Some(rest) if rest.is_empty() || rest.starts_with(['-', '.']) => format!("{new}{rest}"),
        _ => format!("{new}-{name}"),
    }
}

/// Finds where a text stands as a whole value.
fn places_of(value: &Value, wanted: &str, at: &str) -> Vec<String> {
    match value {
        Value::String(text) if text == wanted => vec![at.to_owned()],
        Value::Object(map) => {
            map.iter().flat_map(|(key, value)| places_of(value, wanted, &format!("{at}/{}", escaped(key)))).collect()
        }
        Value::Array(list) => {
            let items = list.iter().enumerate();
            items.flat_map(|(index, value)| places_of(value, wanted, &format!("{at}/{index}"))).collect()
        }
        _ => Vec::new(),
    }
}

/// Takes the autoscaler's limits away, and keeps them in an annotation. A pool that runs away is set to no machines: it
/// sees none of those that it has, so they stay.
pub(super) fn freeze(set: &Set<'_>) -> Vec<Step> {
    if set.runaway().is_some() {
        return if set.replicas() == Some(0) { Vec::new() } else { vec![resize(set, 0)] };
    }
    let annotations = set.object.pointer("/metadata/annotations").and_then(Value::as_object);
    let kept: Map<String, Value> = annotations
        .into_iter()
        .flatten()
        .filter(|(key, _)| settings::is_autoscaling(key))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    if kept.is_empty() {
        return Vec::new();
    }
    let mut patch: Map<String, Value> = kept.keys().map(|key| (key.clone(), Value::Null)).collect();
    patch.insert(FROZEN.to_owned(), json!(Value::Object(kept).to_string()));
    vec![merge_annotations(set.address, &patch, "stop its growth")]
}

/// Gives the autoscaler's limits back.
pub(super) fn thaw(set: &Set<'_>) -> Vec<Step> {
    let kept = set.annotation(FROZEN).and_then(|text| serde_json::from_str::<Map<String, Value>>(text).ok());
    let Some(mut patch) = kept else { return Vec::new() };
    patch.insert(FROZEN.to_owned(), Value::Null);
    vec![merge_annotations(set.address, &patch, "let it grow again")]
}

pub(super) fn resize(set: &Set<'_>, size: u32) -> Step {
    Step::scale(set.address, set.object, size)
}

pub(super) fn merge_annotations(target: &Address, annotations: &Map<String, Value>, what: &str) -> Step {
    Step::Merge {
        target: target.clone(),
        patch: json!({ "metadata": { "annotations": annotations } }),
        what: what.to_owned(),
    }
}
