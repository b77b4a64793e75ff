//! The copy of a pool that is one document, as it is for all providers of such pools.

use serde_json::{Value, json};

use crate::address::Address;
use crate::copy_plan::{self, CopyPlan, CopyRequest, DocumentCopy, Part};
use crate::document::Editor;
use crate::finding::Refusal;
use crate::inventory::Inventory;
use crate::mark::{self, CopyMark};
use crate::pool::Pool;

/// What is to be copied.
#[derive(Clone, Copy, Debug)]
pub struct Original<'a> {
    /// What was read.
    pub inventory: &'a Inventory,
    /// The pool.
    pub pool: &'a Pool,
    /// All pools of its provider.
    pub pools: &'a [Pool],
    /// Where its object is.
    pub address: &'a Address,
    /// Its object, as it would be if nobody had stopped its growth.
    pub object: &'a Value,
    /// What makes a copy another pool, as JSON pointers: no override may change it.
    pub fixed: &'a [&'a str],
}

/// Plans the copy; `edit` does what is the provider's own, knowing the copy's name. What is done afterwards, and what was
/// found, is added by the provider.
pub fn plan(
    original: Original<'_>,
    request: &CopyRequest,
    edit: impl FnOnce(&mut Editor, &str),
) -> Result<CopyPlan, Refusal> {
    let Original { inventory, pool, pools, address, object, fixed } = original;
    copy_plan::check_source(pool, request)?;
    let name = copy_plan::name_for(pool, pools, request)?;
    let size = copy_plan::size_for(pool, pools, request);
    let mark = CopyMark { source_was_frozen: pool.is_frozen, ..CopyMark::new(pool.source(), &request.maker) };
    let mut editor = Editor::new(address.to_string(), object);
    editor.set("/metadata/name", json!(name), copy_plan::NAME);
    edit(&mut editor, &name);
    copy_plan::strip_marks(&mut editor, "/metadata");
    if let Some(size) = size {
        editor.set("/spec/replicas", json!(size), copy_plan::SIZE);
    }
    let kind = &address.resource.kind;
    copy_plan::check_kinds(&request.overrides, &[kind])?;
    copy_plan::apply_overrides(&mut editor, kind, true, &request.overrides, fixed)?;
    editor.set(&mark::pointer(), json!(mark.text()), copy_plan::MARK);
    let (body, changes) = editor.finish();
    let document =
        DocumentCopy { source: address.clone(), target: address.beside(&name), part: Part::Whole, body, changes };
    let steps = copy_plan::creation(inventory, &document, pool)?.into_iter().collect();
    Ok(CopyPlan {
        target: name,
        size,
        documents: vec![document],
        steps,
        afterwards: Vec::new(),
        findings: Vec::new(),
        start_up_taints: Vec::new(),
    })
}
