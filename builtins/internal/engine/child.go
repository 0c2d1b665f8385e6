package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/neosofia/runner/builtins/internal/store"
	"github.com/neosofia/runner/runtime/failure"
)

// Parent is what the parent's side needs to know.
type Parent struct {
	Program string         // the program that is the child; "" is this one
	System  string         // "target offsite", in errors
	Codes   []failure.Code // that a child may raise
	Keep    Keep           // stores a login that changed; nil: there is nowhere to store it
	Silence time.Duration  // after which a child that answers no ping is killed; 0 is 30 s
}

// Child is an engine in its own process. Errors are *failure.Error, those of readers as they
// are, or ctx's.
type Child struct {
	p      Parent
	facts  Facts
	cmd    *exec.Cmd
	conn   net.Conn
	http   *http.Client
	words  *tail
	ended  chan struct{} // closed when the process has ended
	state  error         // how; valid once ended is closed
	stop   context.CancelFunc
	keeper sync.WaitGroup
	once   sync.Once
}

// Start runs an engine and opens its store.
func Start(ctx context.Context, p Parent, cfg Config) (*Child, error) {
	if p.Silence == 0 {
		p.Silence = 30 * time.Second
	}
	c := &Child{p: p, words: &tail{}, ended: make(chan struct{})}
	if err := c.spawn(cfg.Local); err != nil {
		return nil, c.fail("start the engine", err)
	}
	dialed := false
	c.http = &http.Client{Transport: &http.Transport{Protocols: unencrypted(), DisableCompression: true,
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			if dialed {
				return nil, errors.New("it has gone")
			}
			dialed = true
			return c.conn, nil
		},
		HTTP2: &http.HTTP2Config{SendPingTimeout: p.Silence / 2, PingTimeout: p.Silence / 2, MaxReceiveBufferPerStream: 4 << 20,
			MaxReceiveBufferPerConnection: 8 << 20, MaxReadFrameSize: 256 << 10}}}
	alive, stop := context.WithCancel(context.WithoutCancel(ctx))
	c.stop = stop
	// The first request makes the connection: those beside it would dial as well.
	body, err := json.Marshal(cfg)
	if err == nil {
		err = c.open(ctx, alive, body)
	}
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// open sends the configuration, and keeps logins from then on: one may be rotated while
// the store is opened.
func (c *Child) open(ctx, alive context.Context, body []byte) error {
	started := make(chan struct{})
	r := &signalled{bytes.NewReader(body), sync.OnceFunc(func() { close(started) })}
	c.keeper.Go(func() {
		select {
		case <-started:
			c.keep(alive)
		case <-alive.Done():
		}
	})
	return c.ask(ctx, "open its store", http.MethodPost, "/open", nil, r, &c.facts)
}

// signalled says when it is read: then there is a connection.
type signalled struct {
	io.Reader
	once func()
}

func (s *signalled) Read(p []byte) (int, error) {
	s.once()
	return s.Reader.Read(p)
}

// spawn starts the process.
func (c *Child) spawn(local bool) error {
	program, args := self, []string{os.Args[0], Verb}
	if c.p.Program != "" {
		args[0] = filepath.Base(c.p.Program)
		file, err := os.Open(c.p.Program)
		if err != nil {
			return err
		}
		defer file.Close()
		program = opened(file)
	}
	if err := keepApart(); err != nil {
		return fmt.Errorf("keep descriptors from it: %w", err)
	}
	conn, theirs, err := pair()
	if err != nil {
		return err
	}
	defer theirs.Close()
	c.conn = conn
	c.cmd = &exec.Cmd{Path: program, Args: args, Env: environment, Dir: "/", Stdin: theirs, Stdout: c.words, Stderr: c.words}
	confine(c.cmd, local)
	if err := c.cmd.Start(); err != nil {
		return errors.Join(err, conn.Close())
	}
	go func() {
		c.state = c.cmd.Wait()
		close(c.ended)
	}()
	return nil
}

// Close ends the process.
func (c *Child) Close() error {
	c.once.Do(func() {
		if c.stop != nil {
			c.stop()
		}
		if c.conn == nil {
			return
		}
		if c.http != nil {
			c.http.CloseIdleConnections()
		}
		c.conn.Close()
		_ = c.cmd.Process.Kill() // it holds nothing that would have to be ended in order
		<-c.ended
		c.keeper.Wait()
	})
	return nil
}

// keep stores logins that change for as long as the child lives.
func (c *Child) keep(ctx context.Context) {
	for {
		var l Login
		if err := c.ask(ctx, "wait for a login", http.MethodGet, "/keep", nil, nil, &l); err != nil {
			return // the child has ended, and whoever uses it sees why
		}
		why := ""
		if c.p.Keep == nil {
			why = "there is no keyring to store it in"
		} else if err := c.p.Keep(l); err != nil {
			why = err.Error()
		}
		if err := c.ask(ctx, "answer", http.MethodPost, "/kept", url.Values{"why": {why}}, nil, nil); err != nil {
			return
		}
	}
}

// Facts are what the engine said of its store.
func (c *Child) Facts() Facts { return c.facts }

// Put implements store.Store.
func (c *Child) Put(ctx context.Context, name string, offset, size int64, r io.Reader) (n int64, err error) {
	body := &kept{r: r}
	defer body.end()
	err = c.ask(ctx, "write "+name, http.MethodPut, "/file",
		url.Values{"name": {name}, "offset": {number64(offset)}, "size": {number64(size)}}, body, &n)
	if given := body.given(); err == nil && n != given {
		err = c.fail("write "+name, badAnswer("%d bytes were given, it took %d", given, n))
	}
	return n, err
}

// Get implements store.Store.
func (c *Child) Get(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	res, err := c.do(ctx, "read "+name, http.MethodGet, "/file",
		url.Values{"name": {name}, "offset": {number64(offset)}, "length": {number64(length)}}, nil)
	if err != nil {
		return nil, err
	}
	return &body{ReadCloser: res.Body, c: c, ctx: ctx, res: res, doing: "read " + name}, nil
}

// Stat implements store.Store.
func (c *Child) Stat(ctx context.Context, name string) (info store.Info, err error) {
	err = c.ask(ctx, "look up "+name, http.MethodGet, "/stat", url.Values{"name": {name}}, nil, &info)
	return info, err
}

// List implements store.Store.
func (c *Child) List(ctx context.Context, dir string) (all []store.Info, err error) {
	err = c.ask(ctx, "list "+dir, http.MethodGet, "/list", url.Values{"name": {dir}}, nil, &all)
	if err == nil && len(all) > store.MaxEntries {
		err = c.fail("list "+dir, fmt.Errorf("the folder has more than %d entries", store.MaxEntries))
	}
	return all, err
}

// Rename implements store.Store.
func (c *Child) Rename(ctx context.Context, from, to string) error {
	return c.ask(ctx, "rename "+from, http.MethodPost, "/rename", url.Values{"name": {from}, "to": {to}}, nil, nil)
}

// Delete implements store.Store.
func (c *Child) Delete(ctx context.Context, name string) error {
	return c.ask(ctx, "delete "+name, http.MethodDelete, "/file", url.Values{"name": {name}}, nil, nil)
}

// Space returns free and total bytes, -1 where unknown.
func (c *Child) Space(ctx context.Context) (free, total int64, err error) {
	var s space
	err = c.ask(ctx, "look up its space", http.MethodGet, "/space", nil, nil, &s)
	return s.Free, s.Total, err
}

// Sum asks the store itself for the digest of a file; "" where it has none.
func (c *Child) Sum(ctx context.Context, name string) (sum string, err error) {
	err = c.ask(ctx, "digest "+name, http.MethodGet, "/sum", url.Values{"name": {name}}, nil, &sum)
	return sum, err
}

// Maintain gives the space of what was deleted back, where deleting does not, and returns its bytes.
func (c *Child) Maintain(ctx context.Context) (freed int64, err error) {
	err = c.ask(ctx, "maintain its store", http.MethodPost, "/maintain", nil, nil, &freed)
	return freed, err
}

// Packs names the packs that hold the data of folders.
func (c *Child) Packs(ctx context.Context, folders []string) (packs []string, err error) {
	body, err := json.Marshal(folders)
	if err != nil {
		return nil, c.fail("list the packs", err)
	}
	err = c.ask(ctx, "list the packs", http.MethodPost, "/packs", nil, bytes.NewReader(body), &packs)
	return packs, err
}

// environment keeps libraries from looking for a home and a configuration.
var environment = []string{"HOME=/nonexistent", "RCLONE_CONFIG="}

const maxAnswer = 64 << 20 // bytes: a folder of 100,000 names

// ask sends a request and decodes its answer.
func (c *Child) ask(ctx context.Context, doing, method, path string, query url.Values, send io.Reader, into any) error {
	res, err := c.do(ctx, doing, method, path, query, send)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return c.broken(ctx, doing, err)
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(b, into); err != nil {
		return c.fail(doing, badAnswer("%v", err))
	}
	return nil
}

func (c *Child) do(ctx context.Context, doing, method, path string, query url.Values, send io.Reader) (*http.Response, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://engine"+path+"?"+query.Encode(), send)
	if err != nil {
		return nil, c.fail(doing, err)
	}
	res, err := c.http.Do(req)
	if body, ok := send.(*kept); ok && body.failed() != nil && ctx.Err() == nil {
		if err == nil {
			res.Body.Close()
		}
		return nil, body.failed() // what the child says of it follows from it
	}
	if err != nil {
		return nil, c.broken(ctx, doing, err)
	}
	if res.StatusCode == http.StatusOK {
		return res, nil
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return nil, c.broken(ctx, doing, err)
	}
	var f fault
	if json.Unmarshal(b, &f) != nil || f.Said == "" {
		return nil, c.fail(doing, badAnswer("status %d", res.StatusCode))
	}
	return nil, c.told(doing, &f)
}

// told is what the child itself says of a failure.
func (c *Child) told(doing string, f *fault) error {
	if f.Doing == "" {
		f.Doing = doing
	}
	return f.error(c.p.System, c.p.Codes)
}

// broken is the error of a call that the child did not answer.
func (c *Child) broken(ctx context.Context, doing string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return c.fail(doing, err)
}

// fail words a failure of the process, with the last that it said. One that answers
// no ping is ended: nothing that it could still do would be believed.
func (c *Child) fail(doing string, err error) error {
	e := &failure.Error{Code: CodeEngine, System: c.p.System, Doing: doing, Temporary: true, Cause: err,
		Hint: "what was sent stays there; the transfer is resumed when the run is retried"}
	if c.cmd == nil || c.cmd.Process == nil {
		e.Said = err.Error()
		e.Hint = "the engine is this program again: others must be allowed to start it (chmod 755)"
		return e
	}
	_ = c.cmd.Process.Kill()
	<-c.ended
	how := "it ended without a word"
	switch exit := (*exec.ExitError)(nil); {
	case errors.As(c.state, &exit) && exit.String() != "signal: killed":
		how = "it ended (" + exit.String() + ")"
	case c.state != nil:
		how = "it was stopped"
	}
	e.Said = fmt.Sprintf("the engine failed: %v; %s", err, how)
	if words := c.words.String(); words != "" {
		e.Said += "; it said: " + words
	}
	return e
}

func number64(n int64) string { return strconv.FormatInt(n, 10) }

// Ended reports that the process has ended.
func (c *Child) Ended() bool {
	select {
	case <-c.ended:
		return true
	default:
		return false
	}
}
