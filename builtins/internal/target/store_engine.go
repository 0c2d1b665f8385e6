package target

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"sync"

	"github.com/neosofia/runner/builtins/internal/engine"
	"github.com/neosofia/runner/builtins/internal/store"
	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
)

// engineCodes are those that an engine may raise for its store.
var engineCodes = []failure.Code{CodeFull, CodeReadOnly, CodeDown, CodeDenied, CodeFailed, CodeDamaged, CodeNotFound, CodeBadTarget,
	CodeBusy}

// foreign is a store behind an engine. An engine that ended is started anew by the
// next call.
type foreign struct {
	t      *Target
	folder string // of a repository of chunks, absolute; "": the target's URL says where
	relay  *relay // nil: the engine connects by itself

	mu    sync.Mutex
	child *engine.Child
}

var _ store.Store = (*foreign)(nil)

// openEngine opens a target whose store a foreign engine reaches.
func openEngine(ctx context.Context, t *Target) error {
	if t.spec.Login == nil {
		return badTarget(t.spec.Name, "there is no login for %s", t.place.URL)
	}
	f := &foreign{t: t}
	if len(t.env.Roots) > 0 {
		var err error
		if f.relay, err = newRelay(t.env.Dial); err != nil {
			return err
		}
	}
	child, err := f.session(ctx)
	if err != nil {
		return errors.Join(err, f.Close())
	}
	facts := child.Facts()
	t.store, t.account = f, facts.Account
	t.device = ledger.Device{ID: "account:" + facts.Account}
	t.caps = Capabilities{Append: facts.Append, Rename: facts.Rename, Sized: true, Space: f.Space, Close: f.Close}
	if facts.Sum != "" {
		t.caps.Digest = func(ctx context.Context, name string) (string, error) { return f.digest(ctx, facts.Sum, name) }
	}
	return nil
}

// session returns an engine that lives as far as is known.
func (f *foreign) session(ctx context.Context) (*engine.Child, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.child != nil && !f.child.Ended() {
		return f.child, nil
	}
	name := f.t.spec.Name
	if f.folder != "" {
		cfg, err := f.repository(ctx)
		if err != nil {
			return nil, err
		}
		return f.start(ctx, engine.Parent{System: system(name), Codes: engineCodes, Silence: f.t.env.Silence}, cfg)
	}
	raw, err := f.t.spec.Login(ctx)
	if err != nil {
		return nil, err
	}
	login, err := engine.ParseLogin(raw)
	clear(raw)
	if err != nil {
		return nil, badTarget(name, "its login: %v", err)
	}
	if scheme := f.t.place.Name; scheme != "cloud" && scheme != login.Kind {
		return nil, badTarget(name, "its url is of %s, its login of %s", scheme, login.Kind)
	}
	parent := engine.Parent{System: system(name), Codes: engineCodes, Silence: f.t.env.Silence}
	if f.t.place.Name == "cloud" {
		if parent.Program, err = cloudProgram(name); err != nil {
			return nil, err
		}
	}
	if f.t.spec.Keep != nil {
		parent.Keep = func(l engine.Login) error { return f.t.spec.Keep(l.Encode()) }
	}
	cfg := engine.Config{Target: name, Root: path.Clean(f.t.place.URL.Path)[1:], Login: login, Roots: f.t.env.Roots}
	if cfg.Proxy = os.Getenv("HTTPS_PROXY"); f.relay != nil {
		cfg.Proxy = f.relay.url()
	}
	return f.start(ctx, parent, cfg)
}

// start starts an engine in place of one that ended.
func (f *foreign) start(ctx context.Context, parent engine.Parent, cfg engine.Config) (child *engine.Child, err error) {
	if f.child != nil {
		f.child.Close()
		f.child = nil
	}
	if f.child, err = engine.Start(ctx, parent, cfg); err != nil {
		return nil, f.judge(err)
	}
	return f.child, nil
}

// cloudProgram is the program that has the engines which runner has not.
func cloudProgram(target string) (string, error) {
	const program = "runner-cloud"
	if own, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(own), program)
		if info, err := os.Stat(beside); err == nil && info.Mode().IsRegular() {
			return beside, nil
		}
	}
	found, err := exec.LookPath(program)
	if err != nil {
		return "", &failure.Error{Code: CodeBadTarget, System: system(target), Doing: "open it", Said: program + " is not installed",
			Hint: "put it beside runner, or into a folder of PATH"}
	}
	return found, nil
}

// judge keeps errors that are worded, and names the target in them.
func (f *foreign) judge(err error) error {
	if err, ok := settled(f.t.spec.Name, err); ok {
		return err
	}
	return &failure.Error{Code: CodeDown, System: system(f.t.spec.Name), Said: err.Error(), Temporary: true, Cause: err}
}

// Put implements store.Store.
func (f *foreign) Put(ctx context.Context, name string, offset, size int64, r io.Reader) (int64, error) {
	c, err := f.session(ctx)
	if err != nil {
		return 0, err
	}
	n, err := c.Put(ctx, name, offset, size, r)
	return n, f.judge(err)
}

// Get implements store.Store.
func (f *foreign) Get(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	c, err := f.session(ctx)
	if err != nil {
		return nil, err
	}
	rc, err := c.Get(ctx, name, offset, length)
	if err != nil {
		return nil, f.judge(err)
	}
	return rc, nil
}

// Stat implements store.Store.
func (f *foreign) Stat(ctx context.Context, name string) (store.Info, error) {
	c, err := f.session(ctx)
	if err != nil {
		return store.Info{}, err
	}
	info, err := c.Stat(ctx, name)
	return info, f.judge(err)
}

// List implements store.Store.
func (f *foreign) List(ctx context.Context, dir string) ([]store.Info, error) {
	c, err := f.session(ctx)
	if err != nil {
		return nil, err
	}
	all, err := c.List(ctx, dir)
	return all, f.judge(err)
}

// Rename implements store.Store.
func (f *foreign) Rename(ctx context.Context, from, to string) error {
	c, err := f.session(ctx)
	if err != nil {
		return err
	}
	return f.judge(c.Rename(ctx, from, to))
}

// Delete implements store.Store.
func (f *foreign) Delete(ctx context.Context, name string) error {
	c, err := f.session(ctx)
	if err != nil {
		return err
	}
	return f.judge(c.Delete(ctx, name))
}

// Space returns free and total bytes, -1 where the store does not tell.
func (f *foreign) Space(ctx context.Context) (free, total int64, err error) {
	c, err := f.session(ctx)
	if err != nil {
		return -1, -1, err
	}
	free, total, err = c.Space(ctx)
	return free, total, f.judge(err)
}

func (f *foreign) digest(ctx context.Context, kind, name string) (string, error) {
	c, err := f.session(ctx)
	if err != nil {
		return "", err
	}
	sum, err := c.Sum(ctx, name)
	if err != nil || sum == "" {
		return "", f.judge(err)
	}
	return kind + ":" + sum, nil
}

// Close ends the engine.
func (f *foreign) Close() (err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.child != nil {
		err = f.child.Close()
		f.child = nil
	}
	if f.relay != nil {
		err = errors.Join(err, f.relay.Close())
	}
	return err
}

// relay lets an engine connect through Dial: it is a proxy for CONNECT on loopback.
type relay struct {
	listener net.Listener
	server   *http.Server
	dial     func(ctx context.Context, network, addr string) (net.Conn, error)
	joined   sync.WaitGroup
}

func newRelay(dial func(ctx context.Context, network, addr string) (net.Conn, error)) (*relay, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &relay{listener: l, dial: dial}
	r.server = &http.Server{Handler: r}
	r.joined.Go(func() { _ = r.server.Serve(l) }) // ends with the listener
	return r, nil
}

func (r *relay) url() string { return "http://" + r.listener.Addr().String() }

// ServeHTTP implements http.Handler.
func (r *relay) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if req.Method != http.MethodConnect {
		http.Error(w, "this is for CONNECT alone", http.StatusMethodNotAllowed)
		return
	}
	there, err := r.dial(req.Context(), "tcp", req.Host)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	w.WriteHeader(http.StatusOK)
	here, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		there.Close()
		return
	}
	r.joined.Go(func() {
		_, _ = io.Copy(there, rw) // each side sees for itself how it ended
		there.Close()
	})
	r.joined.Go(func() {
		_, _ = io.Copy(here, there)
		here.Close()
	})
}

// Close ends all connections: the engine at their other end has ended before.
func (r *relay) Close() error {
	err := r.server.Close()
	r.joined.Wait()
	return err
}
