package target

import (
	"context"
	"errors"
	"hash"
	"io"
	"sync/atomic"
)

const (
	chunkSize = 1 << 20
	chunks    = 16
)

// chunk is a piece of a file that all consumers share. It returns to its home
// when the last one has released it.
type chunk struct {
	buf  []byte
	n    int
	last bool // of its file; every file has one, empty perhaps
	refs atomic.Int32
	home chan *chunk
}

func newChunks() chan *chunk {
	home := make(chan *chunk, chunks)
	for range chunks {
		home <- &chunk{buf: make([]byte, chunkSize), home: home}
	}
	return home
}

func (c *chunk) release() {
	if c.refs.Add(-1) == 0 {
		c.home <- c
	}
}

// feed is one consumer's view of the files of a source, one after the other.
// Its channel has room for all chunks, so nobody ever waits to send.
type feed struct {
	ctx   context.Context // its cause says why nothing more is wanted
	ch    chan *chunk
	cur   *chunk
	off   int
	ended bool      // the current file
	broke error     // why the channel was closed before all was there
	sum   hash.Hash // takes what is consumed, when set
	step  func(n int)
}

func newFeed(ctx context.Context) *feed {
	return &feed{ctx: ctx, ch: make(chan *chunk, chunks)}
}

// peek returns bytes that come next, at least one, or io.EOF at the file's end.
func (f *feed) peek() ([]byte, error) {
	for {
		if f.ctx.Err() != nil {
			return nil, noEnd(context.Cause(f.ctx))
		}
		if f.ended {
			return nil, io.EOF
		}
		if f.cur != nil && f.off < f.cur.n {
			return f.cur.buf[f.off:f.cur.n], nil
		}
		if f.cur != nil {
			f.ended = f.cur.last
			f.cur.release()
			f.cur, f.off = nil, 0
			continue
		}
		select {
		case c, ok := <-f.ch:
			if !ok {
				return nil, noEnd(f.broke)
			}
			f.cur = c
		case <-f.ctx.Done():
		}
	}
}

// noEnd gives an error that no library takes for the end of a file: that of an SSH
// connection that ended holds io.EOF, and pkg/sftp asks with errors.Is.
func noEnd(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return &brokenFeed{err}
	}
	return err
}

type brokenFeed struct{ err error }

func (b *brokenFeed) Error() string { return b.err.Error() }

// Is hides the end of a file, and nothing else.
func (b *brokenFeed) Is(target error) bool {
	return target != io.EOF && target != io.ErrUnexpectedEOF && errors.Is(b.err, target)
}

// As finds what the error holds.
func (b *brokenFeed) As(target any) bool { return errors.As(b.err, target) }

// advance consumes n bytes of what peek returned.
func (f *feed) advance(n int) {
	if f.sum != nil {
		f.sum.Write(f.cur.buf[f.off : f.off+n])
	}
	f.off += n
	if f.step != nil {
		f.step(n)
	}
}

// next goes on to the next file; the current one has been read to its end.
func (f *feed) next() { f.ended = false }

// drop releases all that still comes, so that others get the chunks.
func (f *feed) drop() {
	if f.cur != nil {
		f.cur.release()
		f.cur = nil
	}
	for c := range f.ch {
		c.release()
	}
}

// part reads the current file up to a number of bytes; below zero: to its end.
type part struct {
	f    *feed
	left int64
	err  error // other than the file's end
}

func (p *part) take() ([]byte, error) {
	if p.left == 0 {
		return nil, io.EOF
	}
	b, err := p.f.peek()
	if err != nil && err != io.EOF {
		p.err = err
	}
	if p.left > 0 && int64(len(b)) > p.left {
		b = b[:p.left]
	}
	return b, err
}

func (p *part) used(n int) {
	p.f.advance(n)
	if p.left > 0 {
		p.left -= int64(n)
	}
}

func (p *part) Read(b []byte) (int, error) {
	have, err := p.take()
	if err != nil {
		return 0, err
	}
	n := copy(b, have)
	p.used(n)
	return n, nil
}

// WriteTo hands the shared chunks to w without another copy.
func (p *part) WriteTo(w io.Writer) (total int64, err error) {
	for {
		have, err := p.take()
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
		n, err := w.Write(have)
		if err != nil {
			return total, err
		}
		p.used(n)
		total += int64(n)
	}
}
