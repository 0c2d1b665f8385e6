// Package cloud opens cloud stores as engines: it wraps github.com/rclone/rclone, whose
// backends are the widest kept set there is and follow what their vendors change
// (OneDrive's URLs of 2027-04-01, say). Which backends there are is decided by what the
// program links: this package brings OneDrive and WebDAV, cmd/runner-cloud all others.
//
// rclone promises no Go API: what is used of it is here and nowhere else. Its
// configuration is given per context and mapper, so that no file of it is read or
// written. It tries each request ten times by itself and honours Retry-After.
//
// A stored file is there whole or not at all: OneDrive's upload sessions are given up
// when they break off. What a backend computes as a digest of its own (quickXor at
// OneDrive, MD5 elsewhere) is taken of every byte on its way, and compared with what
// the store says at the end.
package cloud

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	_ "github.com/rclone/rclone/backend/onedrive" // these two are in every runner
	_ "github.com/rclone/rclone/backend/webdav"
	"github.com/rclone/rclone/fs"
	"github.com/rclone/rclone/fs/config/configmap"
	"github.com/rclone/rclone/fs/hash"
	"github.com/rclone/rclone/fs/object"
	"github.com/rclone/rclone/lib/atexit"
	"golang.org/x/sys/unix"

	"github.com/neosofia/runner/builtins/internal/engine"
	"github.com/neosofia/runner/builtins/internal/store"
	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/runtime/failure"
)

// Open opens the store that a login is for. Files get the times of a clock.
func Open(ctx context.Context, cfg engine.Config, keep engine.Keep, now func() time.Time) (engine.Engine, error) {
	atexit.IgnoreSignals() // or it would end this process by itself
	ctx, conf := fs.AddConfig(ctx)
	conf.HTTPProxy, conf.UserAgent = cfg.Proxy, "runner"
	conf.Timeout = fs.Duration(5 * time.Minute)
	if cfg.Quiet > 0 {
		conf.Timeout = fs.Duration(cfg.Quiet)
	}
	var file *os.File
	if len(cfg.Roots) > 0 {
		var err error
		if file, err = inMemory(cfg.Roots); err != nil {
			return nil, err
		}
		// It stays open: each client that a backend makes reads it anew.
		conf.CaCert = []string{fmt.Sprintf("/proc/self/fd/%d", file.Fd())}
	}
	kind := cfg.Login.Kind
	info, err := fs.Find(kind)
	if err != nil {
		return nil, &failure.Error{Code: target.CodeBadTarget, Doing: "open it", Said: fmt.Sprintf("there is no engine for %q here", kind),
			Hint: "install runner-cloud beside runner"}
	}
	m := configmap.New()
	login := &login{l: cfg.Login, keep: keep}
	m.AddGetter(login, configmap.PriorityNormal)
	m.AddSetter(login)
	m.AddGetter(defaults(info.Options), configmap.PriorityDefault)
	f, err := info.NewFs(ctx, cfg.Target, cfg.Root, m)
	if unauthorized(err) && login.expire() {
		// The token was to hold longer, and does not. rclone asks for another one only
		// when its time is over.
		f, err = info.NewFs(ctx, cfg.Target, cfg.Root, m)
	}
	if errors.Is(err, fs.ErrorIsFile) {
		return nil, &failure.Error{Code: target.CodeBadTarget, Doing: "open it", Said: cfg.Root + " is a file there, not a folder",
			Hint: "correct the target in site.star"}
	}
	if err != nil {
		return nil, explain("open it", err)
	}
	r := &remote{f: f, kind: kind, ctx: ctx, conf: conf, account: account(cfg.Login), roots: file, now: now}
	for _, t := range []hash.Type{hash.SHA256, hash.MD5, hash.SHA1, hash.Whirlpool} {
		if f.Hashes().Contains(t) {
			r.sum = t
			break
		}
	}
	if r.sum == hash.None && f.Hashes().Count() > 0 {
		r.sum = f.Hashes().GetOne()
	}
	return r, nil
}

// inMemory keeps bytes where only this process finds them, under a name that a library
// can open.
func inMemory(b []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate("roots", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("keep certificates in memory: %w", err)
	}
	f := os.NewFile(uintptr(fd), "roots")
	if _, err := f.Write(b); err != nil {
		return nil, errors.Join(fmt.Errorf("keep certificates in memory: %w", err), f.Close())
	}
	return f, nil
}

// login is a configuration of rclone: what is set goes to whoever keeps it, and only
// then on. An option that could not be kept ends the process: the setter has no error,
// and a rotated token that nobody has is worse than a step that failed.
type login struct {
	mu   sync.Mutex
	l    engine.Login
	keep engine.Keep
}

// Get implements configmap.Getter.
func (g *login) Get(key string) (string, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	v, ok := g.l.Options[key]
	return v, ok
}

// Set implements configmap.Setter.
func (g *login) Set(key, value string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.l.Options[key] == value {
		return
	}
	next := engine.Login{Kind: g.l.Kind, Options: maps.Clone(g.l.Options)}
	next.Options[key] = value
	if err := g.keep(next); err != nil {
		fmt.Fprintf(os.Stderr, "the store changed the login, and it could not be kept: %v\n", err)
		os.Exit(1)
	}
	g.l = next
}

// expire makes the access token one whose time is over; false: there is none.
func (g *login) expire() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	var token map[string]any
	if json.Unmarshal([]byte(g.l.Options["token"]), &token) != nil || token["expiry"] == nil {
		return false
	}
	token["expiry"] = "2000-01-01T00:00:00Z"
	b, err := json.Marshal(token)
	if err != nil {
		return false
	}
	options := maps.Clone(g.l.Options)
	options["token"] = string(b)
	g.l.Options = options
	return true
}

// defaults are the backend's own.
type defaults fs.Options

// Get implements configmap.Getter.
func (d defaults) Get(key string) (string, bool) {
	if opt := fs.Options(d).Get(key); opt != nil {
		return opt.String(), true
	}
	return "", false
}

// account names whom a login is for, so that two targets of one account are one copy.
func account(l engine.Login) string {
	var parts []string
	for _, key := range []string{"drive_id", "url", "endpoint", "account", "team_drive", "access_key_id", "user", "provider", "bucket"} {
		if v := l.Options[key]; v != "" {
			parts = append(parts, v)
		}
	}
	return strings.Join(append([]string{l.Kind}, parts...), " ")
}

// remote is a store of rclone.
type remote struct {
	f       fs.Fs
	kind    string
	ctx     context.Context // has rclone's configuration
	conf    *fs.ConfigInfo
	account string
	now     func() time.Time
	roots   *os.File // read again by each client that the backend makes
	sum     hash.Type

	mu      sync.Mutex
	last    string // the file that was written last, and what the store said of it
	lastSum string
}

var _ engine.Engine = (*remote)(nil)

// Facts implements engine.Engine.
func (r *remote) Facts() engine.Facts {
	facts := engine.Facts{Account: r.account}
	if r.sum != hash.None {
		facts.Sum = r.sum.String()
	}
	return facts
}

// within gives a call rclone's configuration.
func (r *remote) within(ctx context.Context) context.Context { return fs.CopyConfig(ctx, r.ctx) }

// Put implements store.Store. The size has to be known.
func (r *remote) Put(ctx context.Context, name string, offset, size int64, in io.Reader) (int64, error) {
	doing := "write " + name
	if offset != 0 || size < 0 {
		return 0, &failure.Error{Code: target.CodeFailed, Doing: doing, Said: "a file is written from its beginning, and with its size"}
	}
	ctx = r.within(ctx)
	sums, err := hash.NewMultiHasherTypes(hash.NewHashSet(r.sum))
	if r.sum == hash.None {
		sums, err = hash.NewMultiHasherTypes(hash.NewHashSet())
	}
	if err != nil {
		return 0, explain(doing, err)
	}
	read := &counted{r: in, sums: sums}
	src := object.NewStaticObjectInfo(name, r.now(), size, true, nil, r.f)
	var there fs.Object
	err = fs.ErrorObjectNotFound
	if r.f.Features().DuplicateFiles { // elsewhere a file of the same name is replaced
		there, err = r.f.NewObject(ctx, name)
	}
	switch {
	case err == nil:
		err = there.Update(ctx, read, src)
	case errors.Is(err, fs.ErrorObjectNotFound) || errors.Is(err, fs.ErrorDirNotFound):
		there, err = r.f.Put(ctx, read, src)
		for range races {
			// Another process may make the same folder at the same moment: then it is there.
			if read.n > 0 || !exists(err) || r.f.Features().DirCacheFlush == nil {
				break
			}
			r.f.Features().DirCacheFlush()
			there, err = r.f.Put(ctx, read, src)
		}
	}
	if err != nil && read.n == size && ctx.Err() == nil {
		// The last answer may be lost, and all of it be there.
		if o, serr := r.f.NewObject(ctx, name); serr == nil && r.sum != hash.None && r.compare(ctx, doing, o, read) == nil {
			there, err = o, nil
		}
	}
	if err != nil {
		return 0, explain(doing, err)
	}
	if err := r.compare(ctx, doing, there, read); err != nil {
		return 0, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last, r.lastSum = name, ""
	if r.sum != hash.None {
		r.lastSum, err = there.Hash(ctx, r.sum)
	}
	return read.n, err
}

const races = 8 // folders on the way to a file, made by others meanwhile

// compare holds what the store says of a file against what was sent.
func (r *remote) compare(ctx context.Context, doing string, o fs.Object, sent *counted) error {
	if o.Size() != sent.n {
		return damaged(doing, "the store has %d bytes of it; %d were sent", o.Size(), sent.n)
	}
	if r.sum == hash.None {
		return nil
	}
	have, err := r.digest(ctx, o)
	if err != nil {
		return explain(doing, err)
	}
	want, err := sent.sums.SumString(r.sum, false)
	if err == nil && have != "" && have != want {
		err = damaged(doing, "the store says that its %v is %s; what was sent has %s", r.sum, have, want)
	}
	return err
}

// digest asks for a digest, a few times where the store computes it later.
func (r *remote) digest(ctx context.Context, o fs.Object) (string, error) {
	for range 3 {
		sum, err := o.Hash(ctx, r.sum)
		if err != nil || sum != "" {
			return sum, err
		}
		if o, err = r.f.NewObject(ctx, o.Remote()); err != nil {
			return "", err
		}
	}
	return "", nil
}

func damaged(doing, format string, args ...any) error {
	return &failure.Error{Code: target.CodeDamaged, Doing: doing, Said: fmt.Sprintf(format, args...),
		Hint: "do not trust this file; it is written anew when the run is retried"}
}

// counted takes the digest of what is read through it. A read that starts again would
// have to be seen, so it hides that it could.
type counted struct {
	r    io.Reader
	sums *hash.MultiHasher
	n    int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	if n > 0 {
		if _, herr := c.sums.Write(p[:n]); herr != nil {
			return n, herr
		}
	}
	return n, err
}

// Get implements store.Store.
func (r *remote) Get(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	ctx = r.within(ctx)
	o, err := r.f.NewObject(ctx, name)
	if err != nil {
		return nil, explain("read "+name, err)
	}
	end := o.Size()
	if length >= 0 && length < end-offset {
		end = offset + length
	}
	if offset >= end { // no server has a range of nothing
		return io.NopCloser(strings.NewReader("")), nil
	}
	var options []fs.OpenOption
	if offset > 0 || end < o.Size() {
		options = append(options, &fs.RangeOption{Start: offset, End: end - 1})
	}
	rc, err := o.Open(ctx, options...)
	if err != nil {
		return nil, explain("read "+name, err)
	}
	return &bounded{rc, "read " + name, end - offset}, nil
}

// bounded holds that a server sends what was asked for: some ignore a range.
type bounded struct {
	io.ReadCloser
	doing string
	left  int64
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.left -= int64(n)
	switch {
	case b.left < 0:
		return n, damaged(b.doing, "the server sends more than was asked for")
	case err == io.EOF && b.left > 0:
		return n, &failure.Error{Code: target.CodeDown, Doing: b.doing, Said: fmt.Sprintf("the server ended %d bytes too early", b.left),
			Temporary: true}
	case err != nil && err != io.EOF:
		return n, explain(b.doing, err)
	}
	return n, err
}

// Stat implements store.Store.
func (r *remote) Stat(ctx context.Context, name string) (store.Info, error) {
	ctx = r.within(ctx)
	o, err := r.f.NewObject(ctx, name)
	switch {
	case err == nil:
		return store.Info{Name: path.Base(name), Size: o.Size(), Regular: true}, nil
	case errors.Is(err, fs.ErrorIsDir):
		return store.Info{Name: path.Base(name), Dir: true}, nil
	case !errors.Is(err, fs.ErrorObjectNotFound):
		return store.Info{}, explain("look up "+name, err)
	}
	// Backends without folders of their own know one by what is in it.
	list, lerr := r.f.List(ctx, name)
	if lerr == nil && (len(list) > 0 || r.f.Features().CanHaveEmptyDirectories) {
		return store.Info{Name: path.Base(name), Dir: true}, nil
	}
	return store.Info{}, explain("look up "+name, err)
}

// List implements store.Store.
func (r *remote) List(ctx context.Context, dir string) ([]store.Info, error) {
	if dir == "." {
		dir = ""
	}
	list, err := r.f.List(r.within(ctx), dir)
	if errors.Is(err, fs.ErrorDirNotFound) && dir == "" {
		return nil, nil // nothing was written there yet
	}
	if err != nil {
		return nil, explain("list "+dir, err)
	}
	if len(list) > store.MaxEntries {
		return nil, &failure.Error{Code: target.CodeFailed, Doing: "list " + dir,
			Said: fmt.Sprintf("the folder has more than %d entries", store.MaxEntries)}
	}
	all := make([]store.Info, 0, len(list))
	for _, e := range list {
		info := store.Info{Name: path.Base(e.Remote()), Size: e.Size()}
		_, info.Regular = e.(fs.Object)
		_, info.Dir = e.(fs.Directory)
		all = append(all, info)
	}
	slices.SortFunc(all, func(a, b store.Info) int { return strings.Compare(a.Name, b.Name) })
	if len(all) == 0 && !r.f.Features().CanHaveEmptyDirectories {
		return nil, explain("list "+dir, fs.ErrorDirNotFound)
	}
	return all, nil
}

// Rename implements store.Store. It is not offered: not every store has it.
func (r *remote) Rename(_ context.Context, from, _ string) error {
	return &failure.Error{Code: target.CodeFailed, Doing: "rename " + from, Said: "this store renames nothing"}
}

// Delete implements store.Store.
func (r *remote) Delete(ctx context.Context, name string) error {
	ctx = r.within(ctx)
	o, err := r.f.NewObject(ctx, name)
	switch {
	case err == nil:
		err = o.Remove(ctx)
	case errors.Is(err, fs.ErrorIsDir) || errors.Is(err, fs.ErrorObjectNotFound):
		err = r.f.Rmdir(ctx, name)
	}
	if errors.Is(err, fs.ErrorDirNotFound) || errors.Is(err, fs.ErrorObjectNotFound) {
		return nil
	}
	if err != nil {
		return explain("delete "+name, err)
	}
	return nil
}

// Space implements engine.Engine.
func (r *remote) Space(ctx context.Context) (free, total int64, err error) {
	about := r.f.Features().About
	if about == nil {
		return -1, -1, nil
	}
	u, err := about(r.within(ctx))
	if err != nil {
		return -1, -1, explain("look up its space", err)
	}
	free, total = -1, -1
	if u.Free != nil {
		free = *u.Free
	}
	if u.Total != nil {
		total = *u.Total
	}
	return free, total, nil
}

// Sum implements engine.Engine.
func (r *remote) Sum(ctx context.Context, name string) (string, error) {
	if r.sum == hash.None {
		return "", nil
	}
	r.mu.Lock()
	last, sum := r.last, r.lastSum
	r.last = ""
	r.mu.Unlock()
	if last == name && sum != "" {
		return sum, nil
	}
	ctx = r.within(ctx)
	o, err := r.f.NewObject(ctx, name)
	if err != nil {
		return "", explain("digest "+name, err)
	}
	if sum, err = r.digest(ctx, o); err != nil {
		return "", explain("digest "+name, err)
	}
	return sum, nil
}

// Close implements engine.Engine.
func (r *remote) Close() error {
	if end := r.f.Features().Shutdown; end != nil {
		return end(r.ctx)
	}
	return nil
}
