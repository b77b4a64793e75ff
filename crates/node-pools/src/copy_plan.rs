//! What is to be done with a pool: the documents, the requests, and what each of them changes.

use cluster_model::selector::Selector;
use serde::Serialize;
use serde_json::Value;

use crate::address::Address;
use crate::difference::{Difference, differences};
use crate::document::{Change, Editor, cleaned, take};
use crate::finding::{Finding, Refusal};
use crate::inventory::Inventory;
use crate::labels::{keeper, keepers};
use crate::pool::Pool;
use crate::step::Step;
use crate::{mark, name, raw};

/// What a copy is to be like.
#[derive(Clone, Debug, PartialEq)]
pub struct CopyRequest {
    /// `--name`.
    pub name: Option<String>,
    /// `--nodes`.
    pub size: Option<u32>,
    /// `--set` and `--unset`, in their order.
    pub overrides: Vec<Override>,
    /// `--nodes-match`.
    pub nodes_match: Option<NodesMatch>,
    /// `--share-templates`.
    pub share_templates: bool,
    /// Who makes it.
    pub maker: mark::Maker,
}

/// Why the name of a copy is another one.
pub const NAME: &str = "the copy's name";
/// Why a copy is marked.
pub const MARK: &str = "whose copy it is";
/// Why its size may differ.
pub const SIZE: &str = "the size that it is to have";
/// Why something is left out that a controller writes.
pub const OF_THE_CONTROLLER: &str = "the controller writes it about the source";
/// Why the mark of a copy goes at the end, and its autoscaling comes back.
pub const GIVE_BACK: &str = "it is a pool like any other now";
const OF_THE_KEEPER: &str = "a GitOps or release tool would take the copy for its own, and prune it";
const OF_THE_SOURCE: &str = "it tells of the source";

/// The reason of what the user took out.
const UNSET: &str = "--unset";

/// Which nodes are the new ones of a pool whose nodes are joined by hand.
#[derive(Clone, Debug, PartialEq)]
pub struct NodesMatch {
    /// The label selector, as it was typed.
    pub text: String,
    /// What it means.
    pub meaning: Selector,
}

/// One override.
#[derive(Clone, Debug, PartialEq)]
pub struct Override {
    /// The kind of the document that is meant; `None`: the pool itself.
    pub kind: Option<String>,
    /// A JSON pointer.
    pub pointer: String,
    /// The value; `None`: nothing.
    pub value: Option<Value>,
}

/// Which part of an object a document is.
#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    /// All of it.
    Whole,
    /// The entry with this name in a list of named entries.
    Entry {
        /// The list, a JSON pointer.
        list: String,
        /// The entry's `name`.
        name: String,
    },
}

/// One document of a copy.
#[derive(Clone, Debug, PartialEq)]
pub struct DocumentCopy {
    /// What was copied.
    pub source: Address,
    /// Where the copy is.
    pub target: Address,
    /// Which part of the target it is.
    pub part: Part,
    /// What the copy is to hold.
    pub body: Value,
    /// In what it differs from its source.
    pub changes: Vec<Change>,
}

/// The plan of a copy.
#[derive(Clone, Debug, PartialEq)]
pub struct CopyPlan {
    /// The name of the copy.
    pub target: String,
    /// How many nodes it is to have; `None`: as many as its pods ask for.
    pub size: Option<u32>,
    /// The documents, those that others refer to first; the last is the pool itself.
    pub documents: Vec<DocumentCopy>,
    /// What is still to be done until its nodes can come, in this order.
    pub steps: Vec<Step>,
    /// What is done when the copy is ready: the source's growth is stopped.
    pub afterwards: Vec<Step>,
    /// What was found.
    pub findings: Vec<Finding>,
    /// Taints that its nodes lose while they start.
    pub start_up_taints: Vec<String>,
}

impl CopyPlan {
    /// Returns all changes of all documents.
    pub fn changes(&self) -> impl Iterator<Item = &Change> {
        self.documents.iter().flat_map(|document| &document.changes)
    }
}

/// A place in which a copy is not what was sent.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Infidelity {
    /// Which document.
    pub document: String,
    /// Where, and what.
    #[serde(flatten)]
    pub difference: Difference,
    /// Whether something is lost or changed; otherwise the server only added to it.
    pub is_loss: bool,
}

/// How a copy compares with what was to be made: its source with the declared changes.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Fidelity {
    /// Whether nothing was lost or changed.
    pub identical: bool,
    /// The differences that nobody declared.
    pub differences: Vec<Infidelity>,
}

impl DocumentCopy {
    /// Returns what is at the target now, as far as it compares; `None`: nothing.
    pub fn found(&self, inventory: &Inventory) -> Option<Value> {
        let object = inventory.get(&self.target)?;
        match &self.part {
            Part::Whole => Some(comparable(object)),
            Part::Entry { list, name } => {
                let entries = object.pointer(list)?.as_array()?;
                entries.iter().find(|entry| entry.get("name").and_then(Value::as_str) == Some(name)).cloned()
            }
        }
    }

    /// Compares what is at the target with what was to be there; `None`: nothing is there.
    pub fn differences(&self, inventory: &Inventory) -> Option<Vec<Difference>> {
        let expected = match self.part {
            Part::Whole => comparable(&self.body),
            Part::Entry { .. } => self.body.clone(),
        };
        Some(differences(&expected, &self.without_removed(self.found(inventory)?)))
    }

    /// Leaves out what was taken out of the copy on purpose: its own controller may have put it there anew.
    fn without_removed(&self, mut found: Value) -> Value {
        let removed: Vec<_> = self.changes.iter().filter(|change| change.to.is_null() && change.why != UNSET).collect();
        if removed.is_empty() {
            return found;
        }
        for change in removed {
            take(&mut found, &change.path);
        }
        match self.part {
            Part::Whole => cleaned(&found),
            Part::Entry { .. } => found,
        }
    }
}

/// A document without what the server sets and without our own mark, which says when and by whom.
fn comparable(object: &Value) -> Value {
    let mut object = cleaned(object);
    if let Some(annotations) = object.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        annotations.remove(mark::COPY);
    }
    // Once more: the map may be empty now.
    cleaned(&object)
}

/// Compares a copy, read back, with its plan.
pub fn fidelity(plan: &CopyPlan, inventory: &Inventory) -> Fidelity {
    let mut found = Vec::new();
    for document in &plan.documents {
        let name = document.target.to_string();
        match document.differences(inventory) {
            Some(differences) => found.extend(differences.into_iter().map(|difference| Infidelity {
                document: name.clone(),
                is_loss: difference.from.is_some(),
                difference,
            })),
            None => found.push(Infidelity {
                document: name,
                is_loss: true,
                difference: Difference { path: String::new(), from: Some(document.body.clone()), to: None },
            }),
        }
    }
    Fidelity { identical: !found.iter().any(|infidelity| infidelity.is_loss), differences: found }
}

/// Returns the name of a pool's copy: the one that was asked for, that of the copy that exists, or the next one.
pub fn name_for(pool: &Pool, pools: &[Pool], request: &CopyRequest) -> Result<String, Refusal> {
    let is_copy = |other: &&Pool| other.copy_of.as_ref().is_some_and(|mark| mark.of.uid == pool.uid);
    let existing = pools.iter().find(is_copy);
    match (&request.name, existing) {
        (Some(name), Some(copy)) if !copy.is_called(name) => {
            Err(Refusal::Copied { pool: pool.title(), copy: copy.known_as().to_owned() })
        }
        (Some(name), _) => match name::fault(name) {
            Some(fault) => Err(Refusal::Name { name: name.clone(), fault: fault.to_owned() }),
            None => Ok(name.clone()),
        },
        (None, Some(copy)) => Ok(copy.known_as().to_owned()),
        (None, None) => {
            let name = name::next(pool.known_as());
            match name::fault(&name) {
                Some(fault) => Err(Refusal::Name { name, fault: format!("{fault}; choose one with --name") }),
                None => Ok(name),
            }
        }
    }
}

/// Returns how many nodes a copy is to have: as many as were asked for, as a copy that exists is to have, or as its source.
pub fn size_for(pool: &Pool, pools: &[Pool], request: &CopyRequest) -> Option<u32> {
    let existing = pools.iter().find(|other| other.copy_of.as_ref().is_some_and(|mark| mark.of.uid == pool.uid));
    request.size.or_else(|| existing.and_then(|copy| copy.size)).or(pool.size)
}

/// Refuses a source in trouble. A chosen size answers for nodes that are missing.
pub fn check_source(pool: &Pool, request: &CopyRequest) -> Result<(), Refusal> {
    let grave = pool.troubles.iter().find(|trouble| !(trouble.is_about_size && request.size.is_some()));
    let Some(trouble) = grave else { return Ok(()) };
    let remedy = if trouble.is_about_size { "--nodes N" } else { "mend the pool first: a copy would be no better" };
    Err(Refusal::Trouble { pool: pool.title(), trouble: trouble.message.clone(), remedies: vec![remedy.to_owned()] })
}

/// Returns the step that makes a document, or none if it is there already as it is to be.
pub fn creation(inventory: &Inventory, document: &DocumentCopy, pool: &Pool) -> Result<Option<Step>, Refusal> {
    let Some(existing) = inventory.get(&document.target) else {
        return Ok(Some(Step::Create { target: document.target.clone(), body: document.body.clone() }));
    };
    let is_ours = mark::CopyMark::of(existing).is_some_and(|mark| mark.of.uid == pool.uid);
    if !is_ours {
        return Err(Refusal::Taken { what: document.target.to_string(), pool: pool.title() });
    }
    if raw::is_leaving(existing) {
        return Err(Refusal::Trouble {
            pool: document.target.to_string(),
            trouble: "it is being deleted".to_owned(),
            remedies: vec!["wait until it is gone, and copy again".to_owned()],
        });
    }
    let lost: Vec<_> = document.differences(inventory).unwrap_or_default();
    let lost: Vec<_> = lost.into_iter().filter(|difference| difference.from.is_some()).collect();
    if lost.is_empty() {
        return Ok(None);
    }
    Err(Refusal::Differs { what: document.target.to_string(), differences: lost })
}

/// Takes out of a document's metadata what says whose the source is: our own marks, and those of the tools that keep it.
pub fn strip_marks(editor: &mut Editor, metadata: &str) {
    editor.remove_entries(&format!("{metadata}/annotations"), |key| match key {
        mark::COPY | mark::FROZEN => Some(OF_THE_SOURCE),
        _ => keeper(key).map(|_| OF_THE_KEEPER),
    });
    editor.remove_entries(&format!("{metadata}/labels"), |key| keeper(key).map(|_| OF_THE_KEEPER));
}

/// Tells of the tools that keep a pool, and do not know its copy.
pub fn keepers_finding(pool: &Pool, object: &Value) -> Option<Finding> {
    let found = keepers(object);
    let names: Vec<_> = found.iter().map(|keeper| keeper.name()).collect();
    (!found.is_empty()).then(|| {
        Finding::new(
            format!(
                "{} is kept by {}, which does not know the copy: its marks are left out, so that the copy is not pruned",
                pool.title(),
                names.join(" and ")
            ),
            "commit the manifest that `-o yaml --dry-run=client` prints instead, or as well",
        )
    })
}

/// Refuses an override that is meant for a kind of which no document is copied.
pub fn check_kinds(overrides: &[Override], kinds: &[&str]) -> Result<(), Refusal> {
    let stray = overrides.iter().find_map(|one| Some((one, one.kind.as_deref().filter(|kind| !kinds.contains(kind))?)));
    match stray {
        None => Ok(()),
        Some((one, kind)) => Err(Refusal::Override {
            flag: if one.value.is_some() { "--set" } else { UNSET },
            pointer: format!("{kind}:{}", one.pointer),
            fault: format!("no document of this kind is copied; there are {}", kinds.join(", ")),
        }),
    }
}

/// Applies the overrides that are meant for a document; `is_main` says that it is the pool itself.
pub fn apply_overrides(
    editor: &mut Editor,
    kind: &str,
    is_main: bool,
    overrides: &[Override],
    fixed: &[&str],
) -> Result<(), Refusal> {
    let meant = overrides.iter().filter(|one| one.kind.as_deref().map_or(is_main, |wanted| wanted == kind));
    for one in meant {
        let flag = if one.value.is_some() { "--set" } else { UNSET };
        let refuse =
            |fault: &str| Err(Refusal::Override { flag, pointer: one.pointer.clone(), fault: fault.to_owned() });
        if fixed.iter().any(|pointer| one.pointer == *pointer || one.pointer.starts_with(&format!("{pointer}/"))) {
            return refuse("this is what makes the copy another pool; it cannot be chosen");
        }
        match &one.value {
            Some(value) if !editor.set(&one.pointer, value.clone(), "--set") => {
                return refuse("there is no such place in the document");
            }
            None if editor.remove(&one.pointer, UNSET).is_none() => {
                return refuse("there is nothing in that place");
            }
            _ => {}
        }
    }
    Ok(())
}
