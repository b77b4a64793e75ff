//! What virt-api alone decides: each row of OBSERVED's tables, request for request.

mod resources;
