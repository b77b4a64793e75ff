//! What virt-api alone decides: each row of OBSERVED's tables, request for request and byte for byte.

mod by_hand;
mod evacuate_cancel;
mod eviction_answers;
mod eviction_dry_runs;
mod instances;
mod lifecycle;
mod migrations;
mod resources;
mod rights;
mod whole_cluster;
mod wire;
