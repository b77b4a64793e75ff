//! What is to be expected of the pods that move: whether the scheduler will find them places, written into the plan.

use std::collections::{BTreeMap, BTreeSet};

use cluster_model::api::core as v1;
use cluster_model::identity::{NodeName, Uid, WorkloadRef};
use scheduler_forecast::imagined::imagine;
use scheduler_forecast::quota::Quota;
use scheduler_forecast::tie::Ties;
use scheduler_forecast::{
    self as scheduler, Candidate, Cluster, Move, Outlook, Prospect, Question, Reason, Rejection, outlook,
};

use super::capacity::Capacity;
use super::words::consent_to_downtime;
use super::{Action, DrainPlan, Fits, Forecast, PodPlan, RefusalKind, RefusedPod};
use crate::request::DrainRequest;

/// What becomes of a pod that is handed over and whose replacement finds no place.
const SERVES_ON: &str = ": the old pod stays where it is until there is a place";

/// The ground on which new pods are to stand.
#[derive(Clone, Debug, Default)]
pub struct Ground {
    /// The pool of `--onto`, and those of its nodes that take pods.
    pub onto: Option<(String, BTreeSet<NodeName>)>,
    /// Who adds nodes when pods find no room; `None`: nobody is seen to.
    pub grown_by: Option<String>,
    /// What of each namespace's pods is limited.
    pub quotas: Vec<Quota>,
    /// How many nodes like the first of those that leave are imagined besides: `--with-nodes`.
    pub imagined: usize,
    /// The pods whose replacements the server would not make, each with its words.
    pub refused: BTreeMap<Uid, String>,
}

/// Whether somebody makes the pod again elsewhere.
fn comes_back(pod: &PodPlan) -> bool {
    matches!(pod.action, Action::Handover | Action::Evict) && !pod.is_lost
}

/// The pods of a plan that have to find a place.
pub fn moving(plan: &DrainPlan) -> impl Iterator<Item = &PodPlan> {
    plan.pods().map(|(_, pod)| pod).filter(|pod| comes_back(pod))
}

/// The moves of a plan, in its order: of the pods that somebody makes again. `pods` are those on the nodes, `templates` what
/// their controllers make pods of.
pub fn moves(
    plan: &DrainPlan,
    pods: &BTreeMap<Uid, v1::Pod>,
    template: impl Fn(&PodPlan) -> Option<v1::PodTemplateSpec>,
) -> Vec<Move> {
    let planned = plan.pods().filter(|(_, pod)| comes_back(pod));
    let made = planned.filter_map(|(node, pod)| {
        let running = pods.get(&pod.pod.uid)?;
        Some(Move {
            pod: pod.pod.uid.clone(),
            from: node.clone(),
            candidate: Candidate::replacement(running, template(pod).as_ref()),
            stays: pod.action == Action::Handover,
        })
    });
    made.collect()
}

/// What was found out about the moves of a plan.
#[derive(Debug)]
pub struct Foresight<'a> {
    moves: &'a [Move],
    leaving: BTreeSet<NodeName>,
    onto: Option<BTreeSet<NodeName>>,
    found: Outlook,
}

impl<'a> Foresight<'a> {
    /// Judges the moves. The cluster is changed into what it will be when the first of them comes: all nodes that are to be
    /// emptied are cordoned, and the imagined ones are there.
    pub fn look(plan: &DrainPlan, moves: &'a [Move], cluster: &mut Cluster, ground: &Ground) -> Self {
        let leaving: BTreeSet<_> = plan.nodes.iter().map(|node| node.name.clone()).collect();
        for name in &leaving {
            cluster.cordon(name);
        }
        let first = plan.nodes.first();
        let imagined = first.map(|node| imagine(cluster, &node.name, moves, ground.imagined)).unwrap_or_default();
        let onto = ground.onto.as_ref().map(|(_, nodes)| nodes.iter().cloned().chain(imagined).collect());
        let question = Question { moves, leaving: &leaving, onto: onto.as_ref() };
        let found = outlook(cluster, &question);
        Self { moves, leaving, onto, found }
    }

    /// Whether every pod finds a place, whatever the scheduler chooses.
    pub fn is_all_clear(&self) -> bool {
        self.found.all == scheduler::Fits::Yes
    }

    /// Writes into the plan what comes of it. What would be evicted and finds no place stands in the way; what is handed over
    /// serves on until its replacement does, so for that it is a warning. `command` makes a whole kubectl command line of
    /// its arguments.
    pub fn write(
        &self,
        plan: &mut DrainPlan,
        cluster: &mut Cluster,
        ground: &Ground,
        request: &DrainRequest,
        command: &dyn Fn(&str) -> String,
    ) {
        let question = Question { moves: self.moves, leaving: &self.leaving, onto: self.onto.as_ref() };
        let mut refusals = Vec::new();
        let judged = self.moves.iter().zip(&self.found.pods).map(|(one, prospect)| (&one.pod, (one, prospect)));
        let judged: BTreeMap<&Uid, (&Move, &Prospect)> = judged.collect();
        let told = Told { ground, command, cluster, question: &question };
        for node in &mut plan.nodes {
            for pod in &mut node.pods {
                let Some((one, prospect)) = judged.get(&pod.pod.uid) else { continue };
                told.note(pod, one, prospect);
                let workload = pod.workload();
                if pod.action == Action::Evict && pod.forecast.fits == Fits::No && !request.allows_downtime(&workload) {
                    refusals.push(refusal(&node.name, pod, ground, &workload));
                }
            }
        }
        plan.refusals.extend(refusals);
        plan.capacity = Some(Capacity::of(&self.found, self.moves, cluster, &question, ground));
    }
}

fn refusal(node: &NodeName, pod: &PodPlan, ground: &Ground, workload: &WorkloadRef) -> RefusedPod {
    let why = pod.forecast.reason.clone().unwrap_or_default();
    let message = match &ground.onto {
        Some(_) => format!("would be evicted, and {why}; without --onto it goes wherever there is room"),
        None => format!("would be evicted, and {why}"),
    };
    let remedy = pod.remedy.clone().unwrap_or_else(|| consent_to_downtime(workload));
    RefusedPod { node: node.clone(), pod: pod.pod.clone(), kind: RefusalKind::FitsNowhere, message, remedy }
}

/// What it takes to tell a person of one pod.
struct Told<'a> {
    ground: &'a Ground,
    command: &'a dyn Fn(&str) -> String,
    cluster: &'a Cluster,
    question: &'a Question<'a>,
}

impl Told<'_> {
    fn note(&self, pod: &mut PodPlan, one: &Move, prospect: &Prospect) {
        let (forecast, warning) = self.judge(one, prospect);
        // What a quota or the server keeps out is not tied to anything.
        if forecast.fits == Fits::No && prospect.fits == scheduler::Fits::No {
            let ties = Ties::find(&one.candidate, &one.from, self.cluster, self.question);
            pod.remedy = ties.as_ref().and_then(|ties| self.patch(ties, &pod.workload())).or_else(|| pod.remedy.take());
            let remedy = pod.remedy.as_ref().map(|patch| format!("; this frees it: {patch}")).unwrap_or_default();
            pod.warnings.extend(ties.map(|ties| format!("it is tied to where it is: {ties}{remedy}")));
        }
        pod.forecast = forecast;
        pod.warnings.extend(warning);
    }

    /// The command that frees a pod; `None`: no patch does, or its owner's template cannot be patched.
    fn patch(&self, ties: &Ties, workload: &WorkloadRef) -> Option<String> {
        let kind = match workload.kind.as_str() {
            "Deployment" | "StatefulSet" | "ReplicaSet" | "ReplicationController" => workload.kind.to_lowercase(),
            _ => return None,
        };
        let patch = ties.patch("/spec/template/spec")?;
        let WorkloadRef { namespace, name, .. } = workload;
        Some((self.command)(&format!("patch {kind} {name} -n {namespace} --type=json -p '{patch}'")))
    }

    /// What is said of a pod, and the warning that it deserves.
    fn judge(&self, one: &Move, prospect: &Prospect) -> (Forecast, Option<String>) {
        let ground = self.ground;
        let say = |fits: Fits, reason: Option<String>| Forecast { fits, nodes: prospect.nodes.clone(), reason };
        if let Some(words) = ground.refused.get(&one.pod) {
            let why = format!("the server would not make its replacement: {words}");
            return (say(Fits::No, Some(why.clone())), one.stays.then(|| format!("{why}{SERVES_ON}")));
        }
        let quota = ground.quotas.iter().find_map(|quota| Some((quota, quota.lacks(&one.candidate)?)));
        if let Some((quota, resource)) = quota.filter(|_| one.stays) {
            let why = format!("ResourceQuota {} leaves no room for one pod more ({resource})", quota.key.name);
            return (say(Fits::No, Some(why.clone())), Some(format!("{why}{SERVES_ON}")));
        }
        match prospect.fits {
            scheduler::Fits::Yes => (say(Fits::Yes, None), None),
            scheduler::Fits::Unknown => (say(Fits::Unknown, Some(prospect.unknown.join("; "))), None),
            scheduler::Fits::Preempting => {
                let victim = prospect.preempts.as_ref().map(|(namespace, name)| format!("{namespace}/{name}"));
                let why = format!("it fits only if pod {} goes, whose priority is lower", victim.unwrap_or_default());
                (say(Fits::Preempting, Some(why.clone())), Some(format!("{why}: the scheduler deletes that one")))
            }
            scheduler::Fits::Depends => {
                let why = self.depends(prospect);
                match &ground.grown_by {
                    Some(who) => (say(Fits::NeedsScaleUp, Some(format!("{why}; {who}"))), None),
                    None => (say(Fits::Depends, Some(why.clone())), Some(format!("{why}: it may have to wait"))),
                }
            }
            scheduler::Fits::No => self.nowhere(one, prospect, &say),
        }
    }

    fn nowhere(
        &self,
        one: &Move,
        prospect: &Prospect,
        say: &dyn Fn(Fits, Option<String>) -> Forecast,
    ) -> (Forecast, Option<String>) {
        if let Some(who) = &self.ground.grown_by {
            // What a node that is not there yet will lack, nobody knows.
            let why = format!("{} has room for it now; {who}", self.no_node());
            return (say(Fits::NeedsScaleUp, Some(why)), None);
        }
        let why = format!("{} can take it ({})", self.no_node(), counted(&prospect.reasons));
        let warning = one.stays.then(|| match &self.ground.onto {
            Some(_) => format!("{why}: if it finds no place elsewhere, the old pod stays and serves on"),
            None => format!("{why}{SERVES_ON}"),
        });
        (say(Fits::No, Some(why)), warning)
    }

    fn no_node(&self) -> String {
        match &self.ground.onto {
            Some((pool, _)) => format!("no node of {pool}"),
            None => "no other node".to_owned(),
        }
    }

    fn depends(&self, prospect: &Prospect) -> String {
        let them = match &self.ground.onto {
            Some((pool, _)) => format!("{pool} has"),
            None => "the other nodes have".to_owned(),
        };
        if prospect.nodes.is_empty() {
            format!("{them} a place for it only once others have moved ({})", counted(&prospect.reasons))
        } else {
            format!("{them} room for it, but not for all that are to leave, in every order")
        }
    }
}

/// `2 lack label x=y, 1 has taint z`: most first; `each lacks label x=y` where that is so everywhere.
fn counted(reasons: &BTreeMap<Rejection, usize>) -> String {
    let mut told: Vec<_> = reasons.iter().map(|(why, count)| (*count, why.reason.to_string())).collect();
    told.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
    if let Some(name) =
        reasons.keys().find_map(|why| if let Reason::OtherNode(name) = &why.reason { Some(name) } else { None })
    {
        return format!("the pod names node {name}");
    }
    match told.as_slice() {
        [] => "there is none".to_owned(),
        [(count, why)] if *count > 1 => format!("each {why}"),
        _ => told.iter().map(|(count, why)| format!("{count} {why}")).collect::<Vec<_>>().join(", "),
    }
}

/// Gives a plan that was made again what the one that was shown foresaw.
pub fn remember(shown: &DrainPlan, current: &mut DrainPlan) {
    let forecasts: BTreeMap<&Uid, &Forecast> = shown.pods().map(|(_, pod)| (&pod.pod.uid, &pod.forecast)).collect();
    for pod in current.nodes.iter_mut().flat_map(|node| &mut node.pods) {
        if let Some(forecast) = forecasts.get(&pod.pod.uid) {
            pod.forecast = (*forecast).clone();
        }
    }
    current.capacity.clone_from(&shown.capacity);
}

/// What is to be expected of all of them together.
pub(super) fn fits_of(outlook: &Outlook, ground: &Ground) -> Fits {
    match outlook.all {
        scheduler::Fits::Yes => Fits::Yes,
        scheduler::Fits::Unknown => Fits::Unknown,
        scheduler::Fits::Preempting => Fits::Preempting,
        scheduler::Fits::Depends | scheduler::Fits::No if ground.grown_by.is_some() => Fits::NeedsScaleUp,
        scheduler::Fits::Depends => Fits::Depends,
        scheduler::Fits::No => Fits::No,
    }
}
