package target

import (
	"context"
	"errors"
	"io"
	"path"
	"sync"

	"github.com/pkg/sftp"

	"github.com/neosofia/runner/builtins/internal/client/ssh"
)

// ahead is how many read requests are on the way: 8 MB, 650 Mbit/s at 100 ms.
const ahead = 32

// Get implements Store.
func (s *sftpStore) Get(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	var r *sftpReader
	err := s.do(ctx, "read", name, func(c *sftp.Client) error {
		f, err := c.Open(path.Join(s.base, name))
		if err != nil {
			return err
		}
		info, err := f.Stat()
		if err != nil {
			return errors.Join(err, f.Close())
		}
		end := info.Size()
		if length >= 0 && length < end-offset {
			end = offset + length
		}
		r = &sftpReader{ctx: ctx, s: s, name: name, f: f, stop: make(chan struct{}), queue: make(chan *piece, ahead)}
		s.mu.Lock()
		r.conn = s.conn
		s.mu.Unlock()
		r.unhook = context.AfterFunc(ctx, func() { r.conn.Cut(ctx.Err()) })
		r.all.Go(func() { r.ask(offset, end) })
		return nil
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// sftpReader has many requests on the way and hands over what comes in order.
// sftp.File.WriteTo would do that too, but it takes a short answer for a full
// one, and servers may answer as shortly as they like; ReadAt asks again.
type sftpReader struct {
	ctx    context.Context
	s      *sftpStore
	name   string
	f      *sftp.File
	conn   *ssh.Session
	unhook func() bool
	once   sync.Once
	stop   chan struct{}
	all    sync.WaitGroup
	queue  chan *piece
	spare  sync.Pool
	cur    *piece
	off    int
	err    error
}

type piece struct {
	b    []byte
	n    int
	err  error
	done chan struct{}
}

// ask sends requests as long as there is room for answers.
func (r *sftpReader) ask(offset, end int64) {
	defer close(r.queue)
	for offset < end {
		n := int(min(ssh.Packet, end-offset))
		p := &piece{done: make(chan struct{})}
		if b, ok := r.spare.Get().(*[]byte); ok {
			p.b = (*b)[:n]
		} else {
			p.b = make([]byte, n, ssh.Packet)
		}
		select {
		case r.queue <- p:
		case <-r.stop:
			return
		}
		at := offset
		r.all.Go(func() {
			defer close(p.done)
			p.n, p.err = r.f.ReadAt(p.b, at)
		})
		offset += int64(n)
	}
}

// Read implements io.Reader.
func (r *sftpReader) Read(b []byte) (int, error) {
	for r.err == nil {
		if r.cur == nil {
			r.err = r.next()
			continue
		}
		if r.off < r.cur.n {
			n := copy(b, r.cur.b[r.off:r.cur.n])
			r.off += n
			return n, nil
		}
		if err := r.cur.err; err != nil && !(err == io.EOF && r.cur.n == len(r.cur.b)) {
			r.err = err
			if err != io.EOF {
				r.err = r.s.judge(r.ctx, r.conn, "read "+r.name, err)
			}
			continue
		}
		r.spare.Put(&r.cur.b)
		r.cur, r.off = nil, 0
	}
	return 0, r.err
}

// next waits for the answer that is the next in order.
func (r *sftpReader) next() error {
	p, ok := <-r.queue
	if !ok {
		return io.EOF
	}
	<-p.done
	r.cur = p
	return nil
}

// Close implements io.Closer. It waits for the answers that are on the way.
func (r *sftpReader) Close() (err error) {
	r.once.Do(func() {
		r.unhook()
		close(r.stop)
		r.all.Wait()
		if !r.conn.Broken() {
			err = r.f.Close()
		}
	})
	return err
}
