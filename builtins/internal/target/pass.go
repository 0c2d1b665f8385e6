package target

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/neosofia/runner/runtime/failure"
)

// errNobody ends a pass in which nobody wants the bytes any more.
var errNobody = errors.New("no target is left")

// pass is one reading of the source.
type pass struct {
	src    Source
	jobs   []*job
	ctx    context.Context
	cancel context.CancelCauseFunc
	free   chan *chunk
	feeds  []*feed
	wants  atomic.Int32 // jobs that have not failed

	// What the source was, once done is closed. It has to be looked at before
	// anything becomes visible.
	done   chan struct{}
	err    error
	broke  error             // of the source
	clear  map[string]string // file -> SHA-256
	known  []chan struct{}   // for each file: closed once its digest is in sums
	sums   []string
	sizes  map[string]int64
	opened bool
}

func newPass(ctx context.Context, src Source, jobs []*job) *pass {
	p := &pass{src: src, jobs: jobs, free: newChunks(), done: make(chan struct{}), clear: map[string]string{}, sizes: map[string]int64{}}
	p.ctx, p.cancel = context.WithCancelCause(ctx)
	p.sums = make([]string, len(src.Artifact.Files))
	for range p.sums {
		p.known = append(p.known, make(chan struct{}))
	}
	return p
}

// sum waits for the digest of a file that its caller has read to the end.
func (p *pass) sum(file int) (string, error) {
	select {
	case <-p.known[file]:
		return p.sums[file], nil
	case <-p.ctx.Done():
		return "", context.Cause(p.ctx)
	case <-p.done: // the source is over
	}
	select {
	case <-p.known[file]:
		return p.sums[file], nil
	default:
		if p.err != nil {
			return "", p.err
		}
		return "", p.lies(p.src.Artifact.Files[file].Name, "it ended before its digest was known")
	}
}

func (p *pass) feed() *feed {
	f := newFeed(p.ctx)
	p.feeds = append(p.feeds, f)
	return f
}

// run returns when every job is settled, or wants another pass.
func (p *pass) run() {
	defer p.cancel(nil)
	p.wants.Store(int32(len(p.jobs)))
	var source sync.WaitGroup
	start := func(do func() error) {
		source.Go(func() {
			// What was read before the source broke is still written, so that it
			// needs not be sent again. Everything else ends the pass.
			if err := do(); err != nil && !broke(err) {
				p.cancel(err)
			}
		})
	}
	sealed := false
	var jobs sync.WaitGroup
	for _, j := range p.jobs {
		sealed = sealed || j.writes() && len(j.t.seals) > 0
		var f *feed
		if j.writes() {
			f = p.feed()
		}
		jobs.Go(func() { p.work(j, f) })
	}
	digests := p.feed()
	start(func() error { return p.digest(digests) })
	if sealed && p.src.Check != nil {
		p.opened = true
		clear := p.feed()
		start(func() error { return p.check(clear) })
	}
	start(p.read)
	go func() {
		source.Wait()
		if p.err = context.Cause(p.ctx); p.err == nil {
			p.err = p.broke
		}
		close(p.done)
	}()
	jobs.Wait()
}

// work brings one job to its end.
func (p *pass) work(j *job, f *feed) {
	err := j.run(p, f)
	if f != nil {
		go f.drop()
	}
	if err != nil && p.wants.Add(-1) == 0 {
		p.cancel(errNobody)
	}
	if errors.Is(err, errRestart) && !j.restarted {
		j.restarted = true
		return
	}
	j.settle(err)
}

// verdict waits until the source is read, digested and opened.
func (p *pass) verdict() error {
	select {
	case <-p.done:
		return p.err
	case <-p.ctx.Done():
		return context.Cause(p.ctx)
	}
}

func broke(err error) bool {
	s, ok := errorAs[*sourceError](err)
	return ok && s.broke
}

// read reads the files of the source and gives every chunk to all feeds.
func (p *pass) read() error {
	defer func() {
		for _, f := range p.feeds {
			f.broke = p.broke
			close(f.ch)
		}
	}()
	for _, file := range p.src.Artifact.Files {
		n, err := p.readFile(file.Name, file.Size)
		if err == nil && file.Size >= 0 && n != file.Size {
			err = p.lies(file.Name, "it has %d bytes; %d were declared", n, file.Size)
		}
		if err != nil {
			p.broke = err
			return err
		}
		p.sizes[file.Name] = n
	}
	return nil
}

func (p *pass) lies(file, format string, args ...any) error {
	return &sourceError{err: &failure.Error{Code: CodeDamaged, Doing: "read source file " + file, Said: fmt.Sprintf(format, args...),
		Hint: "make the artifact again"}}
}

func (p *pass) readFile(name string, size int64) (total int64, err error) {
	fail := func(err error) error {
		if p.ctx.Err() != nil {
			return context.Cause(p.ctx)
		}
		return &sourceError{err: fmt.Errorf("read source file %s: %w", name, err), broke: true}
	}
	rc, err := p.src.Open(p.ctx, name, 0)
	if err != nil {
		return 0, fail(err)
	}
	closed := sync.OnceValue(rc.Close)
	defer context.AfterFunc(p.ctx, func() { _ = closed() })()
	defer closed()
	if f, ok := rc.(descriptor); ok {
		if err := sequential(f); err != nil {
			return 0, fail(err)
		}
	}
	for {
		var c *chunk
		select {
		case c = <-p.free:
		case <-p.ctx.Done():
			return total, context.Cause(p.ctx)
		}
		c.n, err = io.ReadFull(rc, c.buf)
		c.last = err == io.EOF || err == io.ErrUnexpectedEOF
		total += int64(c.n)
		if err != nil && !c.last {
			p.hand(c)
			return total, fail(err)
		}
		if size >= 0 && total > size {
			return total, nil // the caller compares
		}
		p.hand(c)
		if c.last {
			if err := closed(); err != nil {
				return total, fail(err)
			}
			return total, nil
		}
	}
}

// descriptor is an open file of this machine.
type descriptor interface {
	Fd() uintptr
	Name() string
}

func (p *pass) hand(c *chunk) {
	c.refs.Store(int32(len(p.feeds)))
	for _, f := range p.feeds {
		f.ch <- c
	}
}

// digest takes the SHA-256 of each file and holds it against the declared one.
func (p *pass) digest(f *feed) error {
	defer f.drop()
	for i, file := range p.src.Artifact.Files {
		h := sha256.New()
		if _, err := (&part{f: f, left: -1}).WriteTo(h); err != nil {
			return err
		}
		f.next()
		sum := hex.EncodeToString(h.Sum(nil))
		if file.SHA256 != "" && file.SHA256 != sum {
			return p.lies(file.Name, "its SHA-256 is %s; it was %s before", sum, file.SHA256)
		}
		p.clear[file.Name], p.sums[i] = sum, sum
		close(p.known[i])
	}
	return nil
}

// check opens the clear stream of each file completely.
func (p *pass) check(f *feed) error {
	defer f.drop()
	check := p.src.Check()
	for _, file := range p.src.Artifact.Files {
		r := &part{f: f, left: -1}
		if err := check.File(p.ctx, file.Name, struct{ io.Reader }{r}); err != nil {
			if r.err != nil {
				return r.err // it could not know
			}
			if !errors.Is(err, ErrNotHere) {
				return p.unopened(file.Name, err)
			}
			p.opened = false
		}
		if _, err := r.WriteTo(io.Discard); err != nil {
			return err
		}
		f.next()
	}
	if !p.opened {
		return nil
	}
	if err := check.End(); err != nil {
		return p.unopened(p.src.Artifact.Item, err)
	}
	return nil
}

// unopened is what becomes of a pass whose source cannot be opened.
func (p *pass) unopened(what string, err error) error {
	if p.ctx.Err() != nil {
		return context.Cause(p.ctx)
	}
	if own, ok := errorAs[*failure.Error](err); ok {
		return &sourceError{err: own}
	}
	return &sourceError{err: &failure.Error{Code: CodeDamaged, Doing: "open " + what, Said: err.Error(), Cause: err,
		Hint: "make the artifact again; what its source made cannot be opened"}}
}
