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
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	_ "github.com/rclone/rclone/backend/onedrive" // these two are in every runner
	_ "github.com/rclone/rclone/backend/webdav"
	"github.com/rclone/rclone/fs"
	"github.com/rclone/rclone/fs/config/configmap"
	"github.com/rclone/rclone/fs/hash"
	"github.com/rclone/rclone/fs/object"
	"github.com/rclone/rclone/lib/atexit"

	"github.com/neosofia/runner/builtins/internal/engine"
	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/runtime/failure"
)

// Open opens the store that a login is for. Files get the times of a clock.
func Open(ctx context.Context, cfg engine.Config, keep engine.Keep, now func() time.Time) (engine.Engine, error) {
	atexit.IgnoreSignals() // or it would end this process by itself
	ctx, conf := fs.AddConfig(ctx)
	conf.HTTPProxy, conf.UserAgent = cfg.Proxy, "runner"
	// Ten tries of a minute each, as rclone has it, would be a night where nobody answers.
	conf.Timeout, conf.ConnectTimeout = fs.Duration(5*time.Minute), fs.Duration(10*time.Second)
	if err := secure(cfg.Login); err != nil {
		return nil, err
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
	r := &remote{f: f, ctx: ctx, account: account(cfg.Login), roots: file, now: now}
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

// remote is a store of rclone.
type remote struct {
	f       fs.Fs
	ctx     context.Context // has rclone's configuration
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
