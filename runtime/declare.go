package runtime

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
	"go.starlark.net/starlark"
)

// Kind says what a primitive may change.
type Kind int

// Kinds of primitives.
const (
	Read    Kind = iota // changes nothing
	Write               // makes something
	Destroy             // removes something: the site must allow it
)

func (k Kind) String() string { return [...]string{"read", "write", "destroy"}[k] }

// Resume says what to do with a step that had begun when its run died.
type Resume int

// Ways to resume.
const (
	Retry Resume = iota // run it again: it is idempotent
	Probe               // ask the system what became of it, with the marks that it left
	Fail                // it cannot be known: the operator decides
)

func (r Resume) String() string { return [...]string{"retry", "probe", "fail"}[r] }

// Result is the outcome of a primitive. Facts of a failed call are recorded too:
// two copies of three are two copies.
type Result struct {
	Value any // what the policy sees; encoded as JSON, at most MaxResult bytes
	Facts ledger.Facts
}

// MaxResult bounds the encoding of a result.
const MaxResult = 256 << 10

// Retries bounds the attempts of a call that ends in a temporary error. A Write
// is probed before each further attempt, never blindly repeated.
type Retries struct {
	Attempts int           // in all; 0 and 1 mean one
	Wait     time.Duration // before the second; doubled for each further one
}

// Primitive declares a builtin with an effect. A is a struct whose fields carry
// `star:"name"` ("name?" when optional) and `doc:"…"`; see Param for their types.
type Primitive[A any] struct {
	Name    string
	Doc     string // first line: what it does, lower case after the name
	Example string // a call that check accepts
	Returns string // "artifact", "list of copies", "" for None
	Kind    Kind
	Resume  Resume
	Codes   []failure.Code
	Retries Retries
	// KindOf narrows Kind by the arguments: a call that only tells is a Read.
	KindOf func(a *A) Kind
	// Holds names what the call writes ("asset:erp", "target:usb"): two runs do
	// not hold one name at once.
	Holds func(a *A) []string
	// Planned returns the value that a plan goes on with; Unknown stands for what
	// only the call can tell.
	Planned func(a *A) any
	// Preview says in a plan, by Step.Log, what the call would do, where its arguments
	// are known. It may read, and changes and records nothing.
	Preview func(ctx context.Context, s *Step, a *A) error
	// Fake is the call in a policy test: same result and facts, no system.
	Fake func(ctx context.Context, s *Step, a *A) (Result, error)
	// Answered is the fake of a Read to which a test gives the answer; nil: the answer is
	// the value, and nothing is recorded because of it.
	Answered func(ctx context.Context, s *Step, a *A, answer any) (Result, error)
	// Parts are names by which a test means one part of a call: see Step.Fault.
	Parts []string
	// Probe settles a step that had begun: done says whether Result (or the
	// error) is its outcome; else it is run.
	Probe func(ctx context.Context, s *Step, a *A) (r Result, done bool, err error)
	Run   func(ctx context.Context, s *Step, a *A) (Result, error)
}

// Info is the part of a declaration that is data.
type Info struct {
	Name, Doc, Example, Returns string
	Kind                        Kind
	Resume                      Resume
	Codes                       []failure.Code
	Retries                     Retries
	Params                      []Param
	Parts                       []string
	HasProbe, HasFake           bool
	Previews                    bool // without apply = True it only says what it would remove
}

// Declaration is a primitive of any argument type.
type Declaration interface {
	Info() Info
	unpack(args starlark.Tuple, kwargs []starlark.Tuple) (any, error)
	restore(raw json.RawMessage) (any, error)
	kind(a any) Kind
	holds(a any) []string
	planned(a any) any
	report(ctx context.Context, s *Step, a any) error
	fake(ctx context.Context, s *Step, a any) (Result, error)
	answered(ctx context.Context, s *Step, a, answer any) (Result, error)
	probe(ctx context.Context, s *Step, a any) (Result, bool, error)
	run(ctx context.Context, s *Step, a any) (Result, error)
}

// Info implements Declaration.
func (p Primitive[A]) Info() Info {
	return Info{p.Name, p.Doc, p.Example, p.Returns, p.Kind, p.Resume, p.Codes, p.Retries, params[A](), p.Parts, p.Probe != nil,
		p.Fake != nil, p.KindOf != nil}
}

func (p Primitive[A]) unpack(args starlark.Tuple, kwargs []starlark.Tuple) (any, error) {
	a := new(A)
	return a, unpackInto(p.Name, a, args, kwargs)
}

func (p Primitive[A]) restore(raw json.RawMessage) (any, error) {
	a := new(A)
	return a, decodeArgs(raw, a)
}

func (p Primitive[A]) kind(a any) Kind {
	if p.KindOf == nil {
		return p.Kind
	}
	return p.KindOf(a.(*A))
}

func (p Primitive[A]) holds(a any) []string {
	if p.Holds == nil {
		return nil
	}
	return p.Holds(a.(*A))
}

func (p Primitive[A]) planned(a any) any {
	if p.Planned == nil {
		return Unknown{From: p.Name}
	}
	return p.Planned(a.(*A))
}

func (p Primitive[A]) report(ctx context.Context, s *Step, a any) error {
	if p.Preview == nil {
		return nil
	}
	return p.Preview(ctx, s, a.(*A))
}

func (p Primitive[A]) fake(ctx context.Context, s *Step, a any) (Result, error) {
	if p.Fake == nil {
		return Result{}, fmt.Errorf("%s has no fake", p.Name)
	}
	return p.Fake(ctx, s, a.(*A))
}

func (p Primitive[A]) answered(ctx context.Context, s *Step, a, answer any) (Result, error) {
	if p.Answered == nil {
		return Result{Value: answer}, nil
	}
	return p.Answered(ctx, s, a.(*A), answer)
}

func (p Primitive[A]) probe(ctx context.Context, s *Step, a any) (Result, bool, error) {
	if p.Probe == nil {
		return Result{}, false, nil
	}
	return p.Probe(ctx, s, a.(*A))
}

func (p Primitive[A]) run(ctx context.Context, s *Step, a any) (Result, error) {
	return p.Run(ctx, s, a.(*A))
}
