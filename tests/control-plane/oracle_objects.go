package main

import (
	"context"
	"fmt"
	"reflect"
	"time"

	v1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	api "k8s.io/kubernetes/pkg/apis/core"
	_ "k8s.io/kubernetes/pkg/apis/core/install"    // the types, defaults and conversions of v1
	_ "k8s.io/kubernetes/pkg/apis/storage/install" // the same of storage.k8s.io
	"k8s.io/kubernetes/pkg/registry/core/namespace"
	"k8s.io/kubernetes/pkg/registry/core/node"
	"k8s.io/kubernetes/pkg/registry/core/persistentvolume"
	"k8s.io/kubernetes/pkg/registry/core/persistentvolumeclaim"
	"k8s.io/kubernetes/pkg/registry/core/pod"
	"k8s.io/kubernetes/pkg/registry/storage/csidriver"
	"k8s.io/kubernetes/pkg/registry/storage/csinode"
	"k8s.io/kubernetes/pkg/registry/storage/csistoragecapacity"
	"k8s.io/kubernetes/pkg/registry/storage/storageclass"
	"k8s.io/kubernetes/pkg/registry/storage/volumeattachment"
)

// strictCodecs decode what a case holds; a field that does not exist is an error, as it is a mistake of the case.
var strictCodecs = serializer.NewCodecFactory(legacyscheme.Scheme, serializer.EnableStrict)

// oracleKinds are the kinds that a case may hold, with what the API server does when one is created.
var oracleKinds = map[reflect.Type]rest.RESTCreateStrategy{
	reflect.TypeFor[*v1.Namespace]():                 namespace.Strategy,
	reflect.TypeFor[*v1.Node]():                      node.Strategy,
	reflect.TypeFor[*v1.PersistentVolume]():          persistentvolume.Strategy,
	reflect.TypeFor[*v1.PersistentVolumeClaim]():     persistentvolumeclaim.Strategy,
	reflect.TypeFor[*v1.Pod]():                       pod.Strategy,
	reflect.TypeFor[*storagev1.CSIDriver]():          csidriver.Strategy,
	reflect.TypeFor[*storagev1.CSINode]():            csinode.Strategy,
	reflect.TypeFor[*storagev1.CSIStorageCapacity](): csistoragecapacity.Strategy,
	reflect.TypeFor[*storagev1.StorageClass]():       storageclass.Strategy,
	reflect.TypeFor[*storagev1.VolumeAttachment]():   volumeattachment.Strategy,
}

// storedObject reads an object of a case as an API server reads one from its storage: with defaults.
func storedObject(ctx context.Context, raw []byte) (runtime.Object, error) {
	object, kind, err := strictCodecs.UniversalDeserializer().Decode(raw, nil, nil)
	if err != nil {
		return nil, fmt.Errorf("decode: %w", err)
	}
	strategy, known := oracleKinds[reflect.TypeOf(object)]
	if !known {
		return nil, fmt.Errorf("a %s is nothing that the oracle reads", kind.Kind)
	}
	legacyscheme.Scheme.Default(object)
	internal, err := legacyscheme.Scheme.ConvertToVersion(object, runtime.InternalGroupVersioner)
	if err != nil {
		return nil, fmt.Errorf("convert: %w", err)
	}
	if problems := strategy.Validate(ctx, internal); len(problems) > 0 {
		return nil, fmt.Errorf("the API server would refuse this %s: %w", kind.Kind, problems.ToAggregate())
	}
	return fromStorage(object)
}

// fromStorage makes of an object what is read of it once it has been stored and sent: an empty list or map is none.
func fromStorage[T runtime.Object](object T) (T, error) {
	read := reflect.New(reflect.TypeOf(object).Elem()).Interface()
	from, isStored := any(object).(interface{ Marshal() ([]byte, error) })
	into, isRead := read.(interface{ Unmarshal(data []byte) error })
	if !isStored || !isRead {
		return object, fmt.Errorf("a %T cannot be stored", object)
	}
	data, err := from.Marshal()
	if err != nil {
		return object, fmt.Errorf("store: %w", err)
	}
	if err := into.Unmarshal(data); err != nil {
		return object, fmt.Errorf("read what was stored: %w", err)
	}
	// What kind it is, is not stored with it.
	read.(runtime.Object).GetObjectKind().SetGroupVersionKind(object.GetObjectKind().GroupVersionKind())
	return read.(T), nil
}

// createdPod does what an API server does to a pod that is created, except for admission. It gives the template of an
// owner that would create this pod, too.
func createdPod(ctx context.Context, raw []byte) (*v1.PodTemplateSpec, *v1.Pod, error) {
	object, kind, err := strictCodecs.UniversalDeserializer().Decode(raw, nil, nil)
	if err != nil {
		return nil, nil, fmt.Errorf("decode: %w", err)
	}
	given, isPod := object.(*v1.Pod)
	if !isPod {
		return nil, nil, fmt.Errorf("a %s, not a Pod", kind.Kind)
	}
	owner := &v1.PodTemplate{Template: v1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: given.Labels, Annotations: given.Annotations}, Spec: given.Spec,
	}}
	owner = owner.DeepCopy()
	legacyscheme.Scheme.Default(owner)

	legacyscheme.Scheme.Default(given)
	internal := &api.Pod{}
	if err := legacyscheme.Scheme.Convert(given, internal, nil); err != nil {
		return nil, nil, fmt.Errorf("convert: %w", err)
	}
	pod.Strategy.PrepareForCreate(ctx, internal)
	if problems := pod.Strategy.Validate(ctx, internal); len(problems) > 0 {
		return nil, nil, fmt.Errorf("the API server would refuse this pod: %w", problems.ToAggregate())
	}
	created := &v1.Pod{}
	if err := legacyscheme.Scheme.Convert(internal, created, nil); err != nil {
		return nil, nil, fmt.Errorf("convert back: %w", err)
	}
	created, err = fromStorage(created)
	return &owner.Template, created, err
}

// stillInformer is an informer that knows its objects from the start and never hears of a change: nothing runs, so
// nothing is waited for or left behind.
type stillInformer struct {
	// A real one that is never started: its index is read.
	cache.SharedIndexInformer
}

// informersOf makes a factory whose informers know exactly these objects.
func informersOf(client kubernetes.Interface, objects []runtime.Object) (informers.SharedInformerFactory, error) {
	factory := informers.NewSharedInformerFactory(client, 0)
	for kind := range oracleKinds {
		empty, isObject := reflect.New(kind.Elem()).Interface().(runtime.Object)
		if !isObject {
			return nil, fmt.Errorf("%v is not an object", kind)
		}
		factory.InformerFor(empty, func(kubernetes.Interface, time.Duration) cache.SharedIndexInformer {
			byNamespace := cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc}
			return stillInformer{cache.NewSharedIndexInformer(nil, empty, 0, byNamespace)}
		})
	}
	for _, object := range objects {
		// It exists: the function that would make one is not called.
		informer := factory.InformerFor(object, nil)
		if err := informer.GetIndexer().Add(object); err != nil {
			return nil, fmt.Errorf("index an object: %w", err)
		}
	}
	return factory, nil
}

// AddEventHandler tells the handler of all objects before it returns.
func (i stillInformer) AddEventHandler(handler cache.ResourceEventHandler) (cache.ResourceEventHandlerRegistration, error) {
	for _, object := range i.GetIndexer().List() {
		handler.OnAdd(object, true)
	}
	return i.SharedIndexInformer, nil
}

// AddEventHandlerWithOptions is AddEventHandler.
func (i stillInformer) AddEventHandlerWithOptions(handler cache.ResourceEventHandler, _ cache.HandlerOptions) (cache.ResourceEventHandlerRegistration, error) {
	return i.AddEventHandler(handler)
}

// AddEventHandlerWithResyncPeriod is AddEventHandler.
func (i stillInformer) AddEventHandlerWithResyncPeriod(handler cache.ResourceEventHandler, _ time.Duration) (cache.ResourceEventHandlerRegistration, error) {
	return i.AddEventHandler(handler)
}
