package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/sets"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/events"
	resourceslicetracker "k8s.io/dynamic-resource-allocation/resourceslice/tracker"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/features"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"
	"k8s.io/kubernetes/pkg/scheduler/apis/config/latest"
	internalcache "k8s.io/kubernetes/pkg/scheduler/backend/cache"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/dynamicresources"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/names"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/nodevolumelimits"
	frameworkruntime "k8s.io/kubernetes/pkg/scheduler/framework/runtime"
	"k8s.io/kubernetes/pkg/scheduler/metrics"
	"k8s.io/kubernetes/pkg/scheduler/util/assumecache"
)

const (
	nameSchedulerOracle = "scheduler-oracle"
	// longestCase is how long a line may be, in bytes.
	longestCase = 64 << 20
	// metricsInterval is how often the scheduler's own metrics are gathered, which nobody reads here.
	metricsInterval = time.Minute
)

// newSchedulerOracleCommand is a program that answers what kube-scheduler's own default profile thinks of pods. Each line
// of stdin is a case, each line of stdout its answer. Nothing is scheduled: the judged pods of a case know nothing of
// each other.
//
// What an API server does to objects is done here, with its own code, so that a case may leave out what it would fill in
// and cannot hold what it would refuse:
//   - every object gets the defaults of its type and is validated as at its creation;
//   - a judged pod is created: besides defaults, what pods' registry does (matchLabelKeys become part of the selectors of
//     affinity terms and spread constraints, requests of a pod that has limits of its own only);
//   - a pod of the objects was created at some earlier time, when its labels may have been others: its selectors are
//     taken as they stand.
//
// Admission is not asked: no RuntimeClass adds overhead and no toleration is added for nodes that are not ready.
func newSchedulerOracleCommand() *cobra.Command {
	return &cobra.Command{
		Use:   nameSchedulerOracle,
		Short: "Answer where kube-scheduler would let pods run; one case a line of stdin",
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			oracle, err := newOracle(command.Context())
			if err != nil {
				return err
			}
			return oracle.serve(os.Stdin, os.Stdout)
		},
	}
}

// oracleCase is a question.
type oracleCase struct {
	// Objects is the cluster.
	Objects []json.RawMessage `json:"objects"`
	// Pods are to be judged.
	Pods []json.RawMessage `json:"pods"`
}

// oracleAnswer has either an error or the rest.
type oracleAnswer struct {
	Error string `json:"error,omitempty"`
	// Objects are those of the case as an API server would show them, in their order.
	Objects []runtime.Object `json:"objects,omitempty"`
	// Pods are the judged pods as an API server would keep them, in their order.
	Pods []*v1.Pod `json:"pods,omitempty"`
	// Templates are the judged pods as an API server would show them in the template of an owner, in their order.
	Templates []v1.PodTemplateSpec `json:"templates,omitempty"`
	// Verdicts has, for each judged pod, an entry for each node by its name; nil says that the pod may run there.
	Verdicts []map[string]*rejection `json:"verdicts,omitempty"`
}

// rejection says who does not let a pod run on a node.
type rejection struct {
	// Plugin is the first plugin that rejects.
	Plugin  string   `json:"plugin"`
	Reasons []string `json:"reasons"`
	// Failed says that the plugin could not tell, there or on another node, which ends the attempt to schedule the pod.
	Failed bool `json:"failed,omitempty"`
}

// oracle is what all cases share.
type oracle struct {
	ctx     context.Context
	client  kubernetes.Interface
	profile *config.KubeSchedulerProfile
	metrics *metrics.MetricAsyncRecorder
}

func newOracle(ctx context.Context) (*oracle, error) {
	if ctx == nil {
		ctx = context.Background()
	}
	metrics.Register()
	configuration, err := latest.Default()
	if err != nil {
		return nil, fmt.Errorf("make the scheduler's default configuration: %w", err)
	}
	if len(configuration.Profiles) != 1 {
		return nil, fmt.Errorf("the scheduler has %d default profiles, not 1", len(configuration.Profiles))
	}
	return &oracle{
		ctx: ctx,
		// Filters read from informers only. The simple one is made at once; the other would parse the whole schema.
		client:  fake.NewSimpleClientset(),
		profile: &configuration.Profiles[0],
		metrics: metrics.NewMetricsAsyncRecorder(1000, metricsInterval, ctx.Done()),
	}, nil
}

// serve answers line for line until there are no more.
func (o *oracle) serve(in io.Reader, out io.Writer) error {
	lines := bufio.NewReaderSize(in, 1<<20)
	answers := bufio.NewWriterSize(out, 1<<20)
	encoder := json.NewEncoder(answers)
	for {
		line, err := readLine(lines)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read a case: %w", err)
		}
		answer, err := o.answer(line)
		if err != nil {
			answer = &oracleAnswer{Error: err.Error()}
		}
		if err := encoder.Encode(answer); err != nil {
			return fmt.Errorf("write an answer: %w", err)
		}
		if err := answers.Flush(); err != nil {
			return fmt.Errorf("write an answer: %w", err)
		}
	}
}

func readLine(lines *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := lines.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case err == nil:
			return line, nil
		case errors.Is(err, io.EOF) && len(line) > 0:
			return line, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		case len(line) > longestCase:
			return nil, fmt.Errorf("a line of more than %d bytes", longestCase)
		}
	}
}

func (o *oracle) answer(line []byte) (_ *oracleAnswer, err error) {
	// One bad case must not end the others: a filter that panics is an answer too.
	defer func() {
		if panicked := recover(); panicked != nil {
			err = fmt.Errorf("panic: %v", panicked)
		}
	}()
	var question oracleCase
	if err := json.Unmarshal(line, &question); err != nil {
		return nil, fmt.Errorf("decode the case: %w", err)
	}
	answer := &oracleAnswer{}
	for i, raw := range question.Objects {
		object, err := storedObject(o.ctx, raw)
		if err != nil {
			return nil, fmt.Errorf("object %d: %w", i, err)
		}
		answer.Objects = append(answer.Objects, object)
	}
	for i, raw := range question.Pods {
		template, pod, err := createdPod(o.ctx, raw)
		if err != nil {
			return nil, fmt.Errorf("judged pod %d: %w", i, err)
		}
		answer.Templates = append(answer.Templates, *template)
		answer.Pods = append(answer.Pods, pod)
	}
	ctx, cancel := context.WithCancel(o.ctx)
	defer cancel()
	scheduler, snapshot, err := o.scheduler(ctx, answer.Objects)
	if err != nil {
		return nil, err
	}
	for i, pod := range answer.Pods {
		verdict, err := judge(ctx, scheduler, snapshot, pod)
		if err != nil {
			return nil, fmt.Errorf("judged pod %d: %w", i, err)
		}
		answer.Verdicts = append(answer.Verdicts, verdict)
	}
	return answer, nil
}

// scheduler makes the default profile over these objects, as kube-scheduler's start does.
func (o *oracle) scheduler(ctx context.Context, objects []runtime.Object) (framework.Framework, *internalcache.Snapshot, error) {
	logger := klog.FromContext(ctx)
	enabled := utilfeature.DefaultFeatureGate.Enabled
	cache := internalcache.New(ctx, nil, enabled(features.GenericWorkload), enabled(features.CompositePodGroup))
	seen := make([]runtime.Object, 0, len(objects))
	for _, object := range objects {
		switch object := object.(type) {
		case *v1.Node:
			cache.AddNode(logger, object)
		case *v1.Pod:
			// The scheduler's informer asks for neither.
			if object.Status.Phase == v1.PodSucceeded || object.Status.Phase == v1.PodFailed {
				continue
			}
			if object.Spec.NodeName != "" {
				if err := cache.AddPod(logger, object); err != nil {
					return nil, nil, fmt.Errorf("add a pod to the scheduler's cache: %w", err)
				}
			}
		}
		seen = append(seen, object)
	}
	snapshot := internalcache.NewEmptySnapshot()
	if err := cache.UpdateSnapshot(logger, snapshot); err != nil {
		return nil, nil, fmt.Errorf("take a snapshot: %w", err)
	}

	informers, err := informersOf(o.client, seen)
	if err != nil {
		return nil, nil, err
	}
	claims := assumecache.NewAssumeCache(logger, informers.Resource().V1().ResourceClaims().Informer(), "ResourceClaim", "", nil)
	// Without rules about taints it is the informer and nothing else; a case has no devices.
	slices, err := resourceslicetracker.StartTracker(ctx, resourceslicetracker.Options{
		SliceInformer: informers.Resource().V1().ResourceSlices(), KubeClient: o.client,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("start the tracker of resource slices: %w", err)
	}
	scheduler, err := frameworkruntime.NewFramework(ctx, plugins.NewInTreeRegistry(), o.profile,
		frameworkruntime.WithClientSet(o.client),
		frameworkruntime.WithInformerFactory(informers),
		frameworkruntime.WithSharedDRAManager(dynamicresources.NewDRAManager(ctx, claims, slices, informers)),
		frameworkruntime.WithSnapshotSharedLister(snapshot),
		frameworkruntime.WithMutableSnapshotLister(snapshot),
		frameworkruntime.WithMetricsRecorder(o.metrics),
		frameworkruntime.WithSharedCSIManager(nodevolumelimits.NewCSIManager(informers.Storage().V1().CSINodes().Lister())),
		frameworkruntime.WithPodGroupManager(cache),
		frameworkruntime.WithEventRecorder(events.NewFakeRecorder(0)),
	)
	if err != nil {
		return nil, nil, fmt.Errorf("make the scheduler's framework: %w", err)
	}
	return scheduler, snapshot, nil
}

// judge asks PreEnqueue, PreFilter and Filter about one pod, in the order in which kube-scheduler does.
func judge(ctx context.Context, scheduler framework.Framework, snapshot *internalcache.Snapshot, pod *v1.Pod) (map[string]*rejection, error) {
	nodes, err := snapshot.NodeInfos().List()
	if err != nil {
		return nil, fmt.Errorf("list the nodes: %w", err)
	}
	everywhere := func(status *fwk.Status) map[string]*rejection {
		verdict := map[string]*rejection{}
		for _, node := range nodes {
			verdict[node.Node().Name] = rejectedBy(status)
		}
		return verdict
	}
	for _, plugin := range scheduler.PreEnqueuePlugins() {
		if status := plugin.PreEnqueue(ctx, pod); !status.IsSuccess() {
			status.SetPlugin(plugin.Name())
			return everywhere(status), nil
		}
	}
	state := framework.NewCycleState()
	left, status, narrowing := scheduler.RunPreFilterPlugins(ctx, state, pod)
	// Plugins that leave no node between them are a failure that names none: it is told by node, as if some were left.
	nothingLeft := left != nil && !left.AllNodes() && left.NodeNames.Len() == 0
	if !status.IsSuccess() && !nothingLeft {
		return everywhere(status), nil
	}
	verdict := map[string]*rejection{}
	failures := sets.New[string]()
	for _, node := range nodes {
		name := node.Node().Name
		if left != nil && !left.AllNodes() && !left.NodeNames.Has(name) {
			plugin, err := narrowedBy(narrowing, pod, name)
			if err != nil {
				return nil, err
			}
			verdict[name] = &rejection{Plugin: plugin, Reasons: []string{"not among the nodes that PreFilter leaves"}}
			continue
		}
		verdict[name] = nil
		if status := scheduler.RunFilterPlugins(ctx, state, pod, node); !status.IsSuccess() {
			verdict[name] = rejectedBy(status)
			if verdict[name].Failed {
				failures.Insert(name)
			}
		}
	}
	// The scheduler gives the attempt up when a filter fails on any node; the first by name stands for those that do.
	if failures.Len() > 0 {
		failure := verdict[sets.List(failures)[0]]
		for name, rejected := range verdict {
			if rejected == nil {
				verdict[name] = failure
			}
		}
	}
	return verdict, nil
}

// narrowedBy names the plugin whose PreFilter leaves this node out. The scheduler tells the names of all that narrow, and
// two plugins do.
func narrowedBy(narrowing sets.Set[string], pod *v1.Pod, node string) (string, error) {
	if unknown := narrowing.Difference(sets.New(names.NodeName, names.NodeAffinity)); unknown.Len() > 0 {
		return "", fmt.Errorf("PreFilter of %v narrows the nodes: teach the oracle which of them", sets.List(unknown))
	}
	if narrowing.Has(names.NodeName) && pod.Spec.NodeName != node {
		return names.NodeName, nil
	}
	return names.NodeAffinity, nil
}

func rejectedBy(status *fwk.Status) *rejection {
	return &rejection{Plugin: status.Plugin(), Reasons: status.Reasons(), Failed: !status.IsRejected()}
}
