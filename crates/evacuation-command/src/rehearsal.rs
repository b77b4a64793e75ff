//! The rehearsal: whether the scheduler will find places for the pods that move, before any of them does.

use std::collections::{BTreeMap, BTreeSet};

use cluster_model::api::core;
use cluster_model::identity::{ControllerRef, NodeName, ObjectKey, Uid};
use evacuation::guests::Moves;
use evacuation::plan::{self, DrainPlan, Foresight, Ground, PodPlan};
use evacuation_runner::new_pods::{self, Word};
use evacuation_runner::observe::Observation;
use evacuation_runner::routes;
use evacuation_runner::scheduler_view::{self, SchedulerView};
use kubectl_common::failure::Failure;
use kubectl_common::flags::DryRun;
use kubectl_common::report::Output;
use scheduler_forecast::Cluster;

use crate::failure::{call_failed, list_failed};
use crate::guests;
use crate::job::Job;
use crate::pools::Onto;
use crate::session::Session;

/// Nodes of Karpenter's carry it.
const KARPENTER: &str = "karpenter.sh/nodepool";

/// The rehearsal of one plan.
pub(crate) struct Rehearsal<'a> {
    pub(crate) job: &'a Job,
    pub(crate) session: &'a Session,
    pub(crate) output: &'a Output,
    pub(crate) observation: &'a Observation,
    /// Where replacements are expected.
    pub(crate) onto: Option<&'a Onto>,
}

impl Rehearsal<'_> {
    /// Looks at what the scheduler sees, and writes into the plan what it will do, and who will feel it. `fleet` holds the
    /// nodes.
    pub(crate) async fn hold(&self, fleet: Cluster, plan: &mut DrainPlan) -> Result<(), Failure> {
        find_routes(self.session, self.output, plan).await;
        let targets: BTreeSet<NodeName> = plan.nodes.iter().map(|node| node.name.clone()).collect();
        let moves_pods = self.job.request.moves == Moves::Everything && plan::moving(plan).next().is_some();
        let needs_room = guests::need_room(plan, &targets, &self.observation.cluster);
        if !moves_pods && !needs_room {
            return Ok(());
        }
        let mut view = match scheduler_view::look(&self.session.access, fleet, &targets).await {
            Ok(view) => view,
            // That is no reason not to move virtual machines.
            Err(error) if !moves_pods => {
                self.output.note(&format!("whether the other nodes have room is not known: {error}"));
                return Ok(());
            }
            Err(error) => return Err(list_failed(self.session, &error)),
        };
        if needs_room {
            guests::foresee(&targets, &self.observation.cluster, &view.taken(), plan);
        }
        if moves_pods {
            self.foresee_pods(&mut view, plan).await?;
        }
        Ok(())
    }

    async fn foresee_pods(&self, view: &mut SchedulerView, plan: &mut DrainPlan) -> Result<(), Failure> {
        let Self { job, session, observation, onto, .. } = self;
        let mut rehearsed = Rehearsed::default();
        if job.dry_run == DryRun::Server {
            rehearsed = ask_server(session, self.output, plan, observation).await?;
        }
        let mut moves = plan::moves(plan, &view.leaving, |pod| {
            let uid = maker(pod, observation)?.uid;
            // The earlier template is in no list; the pod that runs is made of it.
            if !observation.is_made_of_template(&uid, &pod.pod.name) {
                return None;
            }
            rehearsed.made.get(&uid).or_else(|| observation.templates.get(&uid)).cloned()
        });
        let candidates: Vec<_> = moves.iter().map(|one| &one.candidate).collect();
        view.look_behind(&session.access, &candidates).await.map_err(|error| list_failed(session, &error))?;
        view.blur(moves.iter_mut().map(|one| &mut one.candidate));
        // Only where a pod is handed over does its namespace hold one more for a while.
        let crowded: BTreeSet<_> =
            moves.iter().filter(|one| one.stays).map(|one| one.candidate.resident.namespace.clone()).collect();
        let quotas = scheduler_view::quotas(&session.access, &crowded).await;
        let mut ground = Ground {
            onto: onto.map(|onto| (onto.name.clone(), onto.open.clone())),
            grown_by: onto.filter(|onto| onto.grows).map(|_| "the pool grows".to_owned()),
            quotas: quotas.map_err(|error| list_failed(session, &error))?,
            imagined: job.imagined_nodes,
            refused: rehearsed.refused,
        };
        let foresight = Foresight::look(plan, &moves, &mut view.cluster, &ground);
        if !foresight.is_all_clear() && onto.is_none() {
            ground.grown_by = self.grown_by().await;
        }
        let command = |arguments: &str| session.connection.kubectl(arguments);
        foresight.write(plan, &mut view.cluster, &ground, &job.request, &command);
        Ok(())
    }

    /// Who adds nodes when pods find no room.
    async fn grown_by(&self) -> Option<String> {
        if self.observation.cluster.nodes().any(|node| node.labels.contains_key(KARPENTER)) {
            return Some("Karpenter may add one".to_owned());
        }
        let has_autoscaler = scheduler_view::has_cluster_autoscaler(&self.session.access).await;
        has_autoscaler.then(|| "the cluster autoscaler may add one".to_owned())
    }
}

/// What the server said about pods that are to come.
#[derive(Default)]
struct Rehearsed {
    /// What it would make, by the controllers.
    made: BTreeMap<Uid, core::PodTemplateSpec>,
    /// The pods whose replacements it would not make.
    refused: BTreeMap<Uid, String>,
}

/// Lets the server judge one pod of each controller's, as a dry run.
async fn ask_server(
    session: &Session,
    output: &Output,
    plan: &DrainPlan,
    observation: &Observation,
) -> Result<Rehearsed, Failure> {
    let mut asked: BTreeMap<Uid, Word> = BTreeMap::new();
    let mut found = Rehearsed::default();
    for pod in plan::moving(plan) {
        let maker = maker(pod, observation);
        let is_like_template = |maker: &ControllerRef| observation.is_made_of_template(&maker.uid, &pod.pod.name);
        let Some(maker) = maker.filter(is_like_template) else { continue };
        if !asked.contains_key(&maker.uid) {
            let word = new_pods::ask(&session.access, &pod.pod.namespace, &maker).await;
            let word = word.map_err(|error| call_failed(session, &error, "rehearse the making of a pod"))?;
            asked.insert(maker.uid.clone(), word);
        }
        match asked.get(&maker.uid) {
            Some(Word::Made(made)) => {
                let template = core::PodTemplateSpec { metadata: Some(made.metadata.clone()), spec: made.spec.clone() };
                found.made.insert(maker.uid, template);
            }
            Some(Word::Refused(words)) => {
                found.refused.insert(pod.pod.uid.clone(), words.clone());
            }
            Some(Word::Unheard) | None => {}
        }
    }
    let heard = asked.values().filter(|word| !matches!(word, Word::Unheard)).count();
    if heard < asked.len() {
        output.note(&format!("the server judged new pods of {heard} of {} workloads: for the others you lack the rights, or their kinds are not known", asked.len()));
    }
    Ok(found)
}

/// Who made a pod of the plan.
fn maker(pod: &PodPlan, observation: &Observation) -> Option<ControllerRef> {
    observation.cluster.pod(&pod.pod)?.maker()
}

/// Writes into the plan what leads to the Services that it touches, and what stands before them.
async fn find_routes(session: &Session, output: &Output, plan: &mut DrainPlan) {
    if plan.services.is_empty() {
        return;
    }
    let routes = match routes::look(&session.access).await {
        Ok(routes) => routes,
        Err(error) => {
            output.note(&format!("what leads to the Services from outside is not known: {error}"));
            return;
        }
    };
    for service in &mut plan.services {
        let key = ObjectKey::new(&service.namespace, &service.name);
        let leading = routes.iter().filter(|route| route.services.contains(&key));
        let named = leading.map(|route| {
            let is_near = route.key.namespace == service.namespace;
            format!("{}/{}", route.kind, if is_near { route.key.name.clone() } else { route.key.to_string() })
        });
        service.routes = named.collect();
        service.routes.sort();
    }
}
