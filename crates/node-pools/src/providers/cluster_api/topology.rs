//! A pool that a Cluster's topology makes: an entry of the Cluster, copied as an entry.

use serde_json::{Map, Value, json};

use super::object::Set;
use super::settings;
use super::{ClusterApi, text};
use crate::address::Address;
use crate::copy_plan::{self, CopyPlan, CopyRequest, DocumentCopy, Part};
use crate::copy_plan::{GIVE_BACK, NAME, SIZE};
use crate::difference::escaped;
use crate::document::Editor;
use crate::finding::{Finding, Refusal};
use crate::inventory::Inventory;
use crate::labels::keepers;
use crate::mark::{COPIES, CopyMark, FROZEN};
use crate::pool::Pool;
use crate::provider::PoolReader;
use crate::step::Step;

/// What makes the entry another pool.
const FIXED: [&str; 2] = ["/name", "/class"];

/// An entry of a Cluster's topology.
pub(super) struct Entry<'a> {
    pub(super) cluster: &'a Address,
    object: &'a Value,
    list: &'static str,
    index: usize,
    name: &'a str,
    value: &'a Value,
}

impl<'a> Entry<'a> {
    /// Finds the entry that a pool is made from.
    ///
    /// # Errors
    ///
    /// [`Refusal::Nothing`] where the Cluster is gone or has no such entry.
    pub(super) fn of(inventory: &'a Inventory, set: &Set<'a>) -> Result<Self, Refusal> {
        Self::find(inventory, set)?.ok_or_else(|| no_entry(set))
    }

    /// Finds the entry that a pool is made from; `None` where the Cluster has no entry of the pool's name any more:
    /// its controllers delete such a pool.
    ///
    /// # Errors
    ///
    /// [`Refusal::Nothing`] where the Cluster is gone or the pool is of no topology.
    pub(super) fn find(inventory: &'a Inventory, set: &Set<'a>) -> Result<Option<Self>, Refusal> {
        let (cluster, object) = set.cluster(inventory).ok_or_else(|| no_entry(set))?;
        let name = set.topology_name().ok_or_else(|| no_entry(set))?;
        let list = list_of(set);
        let entries = object.pointer(list).and_then(Value::as_array).into_iter().flatten();
        let found = entries.enumerate().find(|(_, entry)| text(entry, "/name") == Some(name));
        Ok(found.map(|(index, value)| Self { cluster, object, list, index, name, value }))
    }

    fn path(&self, below: &str) -> String {
        format!("{}/{}{below}", self.list, self.index)
    }

    /// Lists move when somebody else edits them: every edit tests first that it hits the right entry.
    fn test(&self) -> Value {
        json!({ "op": "test", "path": self.path("/name"), "value": self.name })
    }

    fn edit(&self, operations: Vec<Value>, what: impl Into<String>) -> Step {
        let patch = std::iter::once(self.test()).chain(operations).collect();
        Step::Edit { target: self.cluster.clone(), patch, what: what.into() }
    }

    /// Plans to remove it, which makes the controllers remove the pool and its templates.
    pub(super) fn removal(&self) -> Step {
        self.edit(vec![json!({ "op": "remove", "path": self.path("") })], format!("without pool {}", self.name))
    }

    /// Plans to take out the copies of a source, with their marks: of some, the controllers have made no object yet, and of
    /// some, there is no entry any more.
    pub(super) fn without_copies_of(&self, source: &str) -> Option<Step> {
        let mut marks = marks(self.object);
        let names = copies_of(&marks, self.list, source);
        if names.is_empty() {
            return None;
        }
        let entries = self.object.pointer(self.list).and_then(Value::as_array).into_iter().flatten().enumerate();
        let is_copy = |entry: &Value| text(entry, "/name").is_some_and(|name| names.iter().any(|one| one == name));
        let mut operations = Vec::new();
        // From the end, so that none moves before it is taken out.
        for (index, entry) in entries.filter(|(_, entry)| is_copy(entry)).collect::<Vec<_>>().into_iter().rev() {
            let path = format!("{}/{index}", self.list);
            operations.push(json!({ "op": "test", "path": format!("{path}/name"), "value": entry.get("name") }));
            operations.push(json!({ "op": "remove", "path": path }));
        }
        for name in &names {
            marks.remove(&key(self.list, name));
        }
        operations.extend(marks_edit(self.object, &marks));
        let what = "without a copy that was half made or half removed".to_owned();
        Some(Step::Edit { target: self.cluster.clone(), patch: operations.into(), what })
    }

    /// Plans to give it the autoscaling settings that its source had.
    pub(super) fn with_autoscaling(&self) -> Option<Step> {
        let mark = mark_in(self.object, self.list, self.name)?;
        (!mark.autoscaling.is_empty()).then(|| self.edit(self.put_annotations(&mark.autoscaling), "its autoscaling"))
    }

    fn put_annotations(&self, annotations: &Map<String, Value>) -> Vec<Value> {
        let mut operations = Vec::new();
        for map in ["/metadata", "/metadata/annotations"] {
            if self.value.pointer(map).is_none() {
                operations.push(json!({ "op": "add", "path": self.path(map), "value": {} }));
            }
        }
        operations.extend(annotations.iter().map(|(key, value)| {
            json!({ "op": "add", "path": self.path(&format!("/metadata/annotations/{}", escaped(key))), "value": value })
        }));
        operations
    }

    fn annotations(&self) -> Map<String, Value> {
        self.value.pointer("/metadata/annotations").and_then(Value::as_object).cloned().unwrap_or_default()
    }
}

fn no_entry(set: &Set<'_>) -> Refusal {
    Refusal::Nothing(format!("{} has no entry in the topology of its Cluster", set.address))
}

/// Plans to forget whose copy a pool is, be its entry there or not.
pub(super) fn without_mark(inventory: &Inventory, set: &Set<'_>) -> Option<Step> {
    let (cluster, object) = set.cluster(inventory)?;
    let mut marks = marks(object);
    marks.remove(&key(list_of(set), set.topology_name()?))?;
    Some(write_marks(cluster, object, &marks, GIVE_BACK))
}

const DEPLOYMENTS: &str = "/spec/topology/workers/machineDeployments";
const POOLS: &str = "/spec/topology/workers/machinePools";

fn list_of(set: &Set<'_>) -> &'static str {
    if set.is_pool() { POOLS } else { DEPLOYMENTS }
}

/// Returns under which key the mark of an entry stands: a name is unique in its list only.
fn key(list: &str, name: &str) -> String {
    if list == POOLS { format!("machinePools/{name}") } else { name.to_owned() }
}

/// Finds the names of the copies of a source: entries of the same list.
fn copies_of(marks: &Map<String, Value>, list: &str, source: &str) -> Vec<String> {
    let of_list = |written: &str| match written.strip_prefix("machinePools/") {
        Some(name) => (list == POOLS).then(|| name.to_owned()),
        None => (list == DEPLOYMENTS).then(|| written.to_owned()),
    };
    let is_its = |mark: &Value| text(mark, "/of/uid") == Some(source);
    marks.iter().filter(|(_, mark)| is_its(mark)).filter_map(|(written, _)| of_list(written)).collect()
}

/// Reads the marks of all copies in a Cluster's topology.
fn marks(cluster: &Value) -> Map<String, Value> {
    let text = cluster.pointer("/metadata/annotations").and_then(|all| all.get(COPIES)).and_then(Value::as_str);
    text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

fn mark_in(cluster: &Value, list: &str, name: &str) -> Option<CopyMark> {
    CopyMark::read(&marks(cluster).get(&key(list, name))?.to_string())
}

/// The marks of all copies share one annotation: whoever wrote it since it was read keeps what they wrote.
fn write_marks(cluster: &Address, object: &Value, marks: &Map<String, Value>, what: &str) -> Step {
    Step::Edit { target: cluster.clone(), patch: marks_edit(object, marks).into(), what: what.to_owned() }
}

/// The operations that write the marks, if they are as they were read. To test for `null` is to test for nothing there.
pub(super) fn marks_edit(cluster: &Value, marks: &Map<String, Value>) -> Vec<Value> {
    const MAP: &str = "/metadata/annotations";
    let operation = |op: &str, path: &str, value: Value| json!({ "op": op, "path": path, "value": value });
    let path = format!("{MAP}/{}", escaped(COPIES));
    let text = json!(Value::Object(marks.clone()).to_string());
    let Some(annotations) = cluster.pointer(MAP) else {
        return vec![operation("test", MAP, Value::Null), operation("add", MAP, json!({ COPIES: text }))];
    };
    let read = annotations.get(COPIES).cloned().unwrap_or_default();
    let write = if marks.is_empty() { json!({ "op": "remove", "path": path }) } else { operation("add", &path, text) };
    vec![operation("test", &path, read), write]
}

/// Returns the mark of a pool.
pub(super) fn mark_of(inventory: &Inventory, set: &Set<'_>, name: &str) -> Option<CopyMark> {
    mark_in(set.cluster(inventory)?.1, list_of(set), name)
}

pub(super) fn copy(
    inventory: &Inventory,
    pool: &Pool,
    set: &Set<'_>,
    request: &CopyRequest,
) -> Result<CopyPlan, Refusal> {
    copy_plan::check_source(pool, request)?;
    let entry = Entry::of(inventory, set)?;
    let pools = ClusterApi.pools(inventory);
    // An entry of which the controllers have made no pool yet is a copy as well.
    let made = copies_of(&marks(entry.object), entry.list, &pool.uid).into_iter().next();
    let name = match (&request.name, made) {
        (Some(name), Some(made)) if *name != made => {
            return Err(Refusal::Copied { pool: pool.title(), copy: made });
        }
        (None, Some(made)) => made,
        (_, _) => copy_plan::name_for(pool, &pools, request)?,
    };
    let mut mark = CopyMark { source_was_frozen: pool.is_frozen, ..CopyMark::new(pool.source(), &request.maker) };
    let mut editor = Editor::new(format!("{} {}", entry.cluster, entry.path("")), entry.value);
    editor.set("/name", json!(name), NAME);
    mark.autoscaling = settings::strip_metadata(&mut editor, "/metadata");
    let size = copy_plan::size_for(pool, &pools, request);
    if let Some(size) = size {
        editor.set("/replicas", json!(size), SIZE);
    }
    copy_plan::check_kinds(&request.overrides, &[&set.address.resource.kind])?;
    copy_plan::apply_overrides(&mut editor, &set.address.resource.kind, true, &request.overrides, &FIXED)?;
    let (body, changes) = editor.finish();
    let document = DocumentCopy {
        source: entry.cluster.clone(),
        target: entry.cluster.clone(),
        part: Part::Entry { list: entry.list.to_owned(), name: name.clone() },
        body,
        changes,
    };
    let steps = creation(inventory, &entry, &document, &name, mark, pool)?;
    let mut findings = Vec::new();
    let found = keepers(entry.object);
    if !found.is_empty() {
        let names: Vec<_> = found.iter().map(|keeper| keeper.name()).collect();
        findings.push(Finding::new(
            format!("{} is kept by {}, which may take the new entry out again", entry.cluster, names.join(" and ")),
            "commit the entry to its repository as well",
        ));
    }
    Ok(CopyPlan {
        target: name,
        size,
        documents: vec![document],
        steps,
        afterwards: freeze(inventory, set)?,
        findings,
        start_up_taints: Vec::new(),
    })
}

/// The entry and its mark in one request: an entry without a mark would be nobody's copy.
fn creation(
    inventory: &Inventory,
    entry: &Entry<'_>,
    document: &DocumentCopy,
    name: &str,
    mark: CopyMark,
    pool: &Pool,
) -> Result<Vec<Step>, Refusal> {
    let ours = mark_in(entry.object, entry.list, name).is_some_and(|mark| mark.of.uid == pool.uid);
    match document.differences(inventory) {
        Some(_) if !ours => Err(Refusal::Taken {
            what: format!("entry {name} in the topology of {}", entry.cluster),
            pool: pool.title(),
        }),
        Some(differences) => {
            let lost: Vec<_> = differences.into_iter().filter(|difference| difference.from.is_some()).collect();
            if lost.is_empty() {
                return Ok(Vec::new());
            }
            Err(Refusal::Differs { what: format!("entry {name} of {}", entry.cluster), differences: lost })
        }
        None => {
            let add = json!({ "op": "add", "path": format!("{}/-", entry.list), "value": document.body });
            let mut all = marks(entry.object);
            all.insert(key(entry.list, name), serde_json::to_value(mark).unwrap_or_default());
            // A mark without its entry is there if somebody took the entry out.
            let mut operations = if ours { Vec::new() } else { marks_edit(entry.object, &all) };
            operations.push(add);
            Ok(vec![entry.edit(operations, format!("pool {name} beside {}", entry.name))])
        }
    }
}

/// Takes the autoscaler's limits out of the entry, and keeps them there in an annotation.
pub(super) fn freeze(inventory: &Inventory, set: &Set<'_>) -> Result<Vec<Step>, Refusal> {
    let entry = Entry::of(inventory, set)?;
    let kept: Map<String, Value> =
        entry.annotations().into_iter().filter(|(key, _)| settings::is_autoscaling(key)).collect();
    if kept.is_empty() {
        return Ok(Vec::new());
    }
    let path = |key: &str| entry.path(&format!("/metadata/annotations/{}", escaped(key)));
    let mut operations: Vec<_> = kept.keys().map(|key| json!({ "op": "remove", "path": path(key) })).collect();
    operations.push(json!({ "op": "add", "path": path(FROZEN), "value": Value::Object(kept).to_string() }));
    Ok(vec![entry.edit(operations, "stop its growth")])
}

/// Gives the autoscaler's limits back.
pub(super) fn thaw(inventory: &Inventory, set: &Set<'_>) -> Result<Vec<Step>, Refusal> {
    let entry = Entry::of(inventory, set)?;
    let annotations = entry.annotations();
    let kept = annotations.get(FROZEN).and_then(Value::as_str);
    let Some(kept) = kept.and_then(|text| serde_json::from_str::<Map<String, Value>>(text).ok()) else {
        return Ok(Vec::new());
    };
    let mut operations = entry.put_annotations(&kept);
    let path = entry.path(&format!("/metadata/annotations/{}", escaped(FROZEN)));
    operations.push(json!({ "op": "remove", "path": path }));
    Ok(vec![entry.edit(operations, "let it grow again")])
}

pub(super) fn resize(inventory: &Inventory, set: &Set<'_>, size: u32) -> Result<Step, Refusal> {
    let entry = Entry::of(inventory, set)?;
    let read = entry.value.get("replicas").cloned().unwrap_or_default();
    let operations = vec![
        json!({ "op": "test", "path": entry.path("/replicas"), "value": read }),
        json!({ "op": "add", "path": entry.path("/replicas"), "value": size }),
    ];
    Ok(entry.edit(operations, format!("{size} nodes in pool {}", entry.name)))
}
