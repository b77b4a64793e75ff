//! `batch/v1`.

#![expect(missing_docs, reason = "the fields are the API's own")]

use k8s_openapi::api::batch::v1;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use serde::Deserialize;

use super::part_of;

/// A Job.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Job {
    pub metadata: ObjectMeta,
    pub spec: Option<JobSpec>,
}
part_of!(Job, v1::Job);

/// Whose pods are a Job's.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct JobSpec {
    pub selector: Option<LabelSelector>,
}
