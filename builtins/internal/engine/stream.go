package engine

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
)

// kept keeps the error of a reader. The transport reads it in a goroutine of its own, and
// may still do so when the call is over: end waits for that, and forbids more.
type kept struct {
	mu  sync.Mutex
	r   io.Reader
	n   int64
	err error
}

func (k *kept) Read(p []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.r == nil {
		return 0, io.ErrClosedPipe
	}
	n, err := k.r.Read(p)
	k.n += int64(n)
	if err != nil {
		k.err = err
	}
	return n, err
}

// failed is the error of the reader, if it is not its end.
func (k *kept) failed() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.err == io.EOF {
		return nil
	}
	return k.err
}

func (k *kept) end() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.r = nil
}

func (k *kept) given() int64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.n
}

// body is a file on its way. What the child says at its end counts: bytes alone do not
// tell a short file from a broken one.
type body struct {
	io.ReadCloser
	c     *Child
	ctx   context.Context
	res   *http.Response
	doing string
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == nil {
		return n, nil
	}
	if err != io.EOF {
		return n, b.c.broken(b.ctx, b.doing, err)
	}
	var f fault
	if json.Unmarshal([]byte(b.res.Trailer.Get(faultTrailer)), &f) != nil {
		return n, b.c.fail(b.doing, badAnswer("no word at the end of a file"))
	}
	if f != (fault{}) {
		return n, b.c.told(b.doing, &f)
	}
	return n, io.EOF
}

// tail keeps the last of what is written.
type tail struct {
	mu sync.Mutex
	b  []byte
}

const maxTail = 1000 // bytes of a child's words that an error has

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	if len(t.b) > maxTail {
		t.b = append([]byte(nil), t.b[len(t.b)-maxTail:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(clean(strings.ReplaceAll(strings.TrimSpace(string(t.b)), "\n", " | ")))
}
