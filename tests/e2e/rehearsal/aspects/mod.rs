//! What a case is about. Each aspect comes twice: once the replacement fits somewhere, once nowhere.

mod nodes;
mod owners;
mod pods;
mod room;
mod storage;

use e2e::scheduling::dice::Dice;

use super::sketch::Sketch;

/// Draws one aspect into a world; the flag says whether the replacement is to fit.
pub(super) type Draw = fn(&mut Sketch, &mut Dice, bool);

/// All aspects, by their names.
pub(super) const ASPECTS: [(&str, Draw); 36] = [
    ("processors", room::processors),
    ("memory", room::memory),
    ("a pod that does not end", room::ending),
    ("number of pods", room::pods),
    ("init containers and sidecars", room::init_containers),
    ("extended resources", room::devices),
    ("resources of the pod", room::pod_level),
    ("limits without requests", room::limits),
    ("taints", nodes::taints),
    ("node selector", nodes::selector),
    ("node affinity", nodes::affinity),
    ("host ports", nodes::ports),
    ("pods to be near to", pods::near),
    ("pods of chosen namespaces to be near to", pods::near_by_namespace),
    ("pods to keep away from", pods::apart),
    ("pods that keep away", pods::shunned),
    ("its own kind to keep away from", pods::apart_from_itself),
    ("spread", pods::spread),
    ("spread over a least number of zones", pods::spread_widely),
    ("spread by generation", pods::spread_by_generation),
    ("a claim whose volume stays in a zone", storage::bound_claim),
    ("a claim of a StatefulSet's", storage::claim_of_set),
    ("a claim for one pod", storage::one_pod_claim),
    ("a volume labelled with a zone", storage::zoned_volume),
    ("the most volumes of a driver", storage::volume_limit),
    ("a disk that is in use", storage::disk),
    ("a LimitRange", owners::limit_range),
    ("a set whose pods are updated by hand", owners::on_delete),
    ("a set that is updated in part", owners::partition),
    ("a ReplicaSet that was edited", owners::edited),
    ("labels of the running pod only", owners::own_labels),
    ("a toleration of the running pod only", owners::own_toleration),
    ("scheduling gates", owners::gates),
    ("priority", owners::priority),
    ("overhead of a runtime class", owners::overhead),
    ("nodes of a runtime class", owners::runtime_nodes),
];
