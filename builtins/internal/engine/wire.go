package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"

	"github.com/neosofia/runner/builtins/internal/store"
	"github.com/neosofia/runner/runtime/failure"
)

// Verb is the argument by which this program becomes an engine. It is for no one to type.
const Verb = "engine"

// CodeEngine is the failure of the process itself.
var CodeEngine = failure.Code{Name: "E_ENGINE", Doc: "the process that speaks with a store ended, hangs or talks nonsense"}

// Config says what an engine opens.
type Config struct {
	Target string `json:"target"` // its name in the site, for errors
	Root   string `json:"root"`   // folder below the store's own root
	Login  Login  `json:"login"`
	Proxy  string `json:"proxy,omitempty"` // http://host:port; "" is none
	Roots  []byte `json:"roots,omitempty"` // PEM: certificates that servers must show; none: the system's
	Local  bool   `json:"local,omitempty"` // the store is a folder of this machine
	Read   bool   `json:"read,omitempty"`  // it is only read
}

// Login is what a store wants to know of us: the value of one secret of the keyring.
type Login struct {
	Kind    string            `json:"type"` // "onedrive": the engine
	Options map[string]string `json:"options"`
}

// ParseLogin reads the value of a secret.
func ParseLogin(b []byte) (l Login, err error) {
	if err := json.Unmarshal(b, &l); err != nil {
		return l, errors.New("it is not a login of a store: runner cloud login or runner cloud import makes one")
	}
	if l.Kind == "" || len(l.Options) == 0 {
		return l, errors.New("it names no kind of store: runner cloud login or runner cloud import makes one")
	}
	return l, nil
}

// Encode is the secret's value.
func (l Login) Encode() []byte {
	b, err := json.Marshal(l)
	if err != nil {
		panic(err) // strings alone
	}
	return b
}

// Facts are what an engine says of the store that it opened.
type Facts struct {
	Account string `json:"account"`
	Sum     string `json:"sum,omitempty"` // name of the digest that the store itself computes
	Append  bool   `json:"append,omitempty"`
	Rename  bool   `json:"rename,omitempty"`
}

// Engine is a store that lives in a child.
type Engine interface {
	store.Store
	Facts() Facts
	// Space returns free and total bytes, -1 where unknown.
	Space(ctx context.Context) (free, total int64, err error)
	// Sum asks the store itself for the digest of a file; "" where it has none.
	Sum(ctx context.Context, name string) (string, error)
	Close() error
}

// Maintainer is an engine whose store keeps what was deleted until it is maintained.
type Maintainer interface {
	// Maintain returns the bytes that it freed.
	Maintain(ctx context.Context) (freed int64, err error)
}

// Packer is an engine whose store keeps what is in its folders in packs, which folders share.
type Packer interface {
	// Packs names those that hold the data of folders, each once.
	Packs(ctx context.Context, folders []string) ([]string, error)
}

// Keep stores a login that changed. It returns when that is durable.
type Keep func(l Login) error

// Open opens the store that a configuration names.
type Open func(ctx context.Context, cfg Config, keep Keep) (Engine, error)

// fault is an error on its way.
type fault struct {
	Code      string `json:"code,omitempty"`
	Doing     string `json:"doing,omitempty"`
	Said      string `json:"said"`
	Hint      string `json:"hint,omitempty"`
	Temporary bool   `json:"temporary,omitempty"`
}

func faultOf(err error) *fault {
	var e *failure.Error
	if !errors.As(err, &e) {
		return &fault{Said: err.Error(), Temporary: true}
	}
	return &fault{e.Code.Name, e.Doing, e.Said, e.Hint, e.Temporary}
}

// error is the fault as the parent's. A code that the parent does not expect is the
// engine's own failure: a child cannot make its step one that stops a run.
func (f *fault) error(system string, codes []failure.Code) error {
	e := &failure.Error{Code: CodeEngine, System: system, Doing: clean(f.Doing), Said: clean(f.Said), Hint: clean(f.Hint),
		Temporary: f.Temporary}
	for _, c := range codes {
		if c.Name == f.Code {
			e.Code = c
		}
	}
	return e
}

const maxWords = 2000 // bytes of one text of a child

// queries are what stands behind the path of a URL: those of uploads and downloads hold
// what opens them.
var queries = regexp.MustCompile(`(https?://[^\s"'?]+)\?[^\s"']*`)

// clean keeps what a child says to what can be shown, and may be recorded.
func clean(s string) string {
	out := []rune{}
	s = queries.ReplaceAllString(s, "$1?[not shown]")
	for _, r := range s {
		if r < ' ' || r == 0x7f {
			r = ' '
		}
		if len(out) == maxWords {
			break
		}
		out = append(out, r)
	}
	return string(out)
}

func badAnswer(format string, args ...any) error {
	return fmt.Errorf("it answers what cannot be understood: "+format, args...)
}
