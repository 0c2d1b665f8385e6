package target

import (
	"io"
)

const stageBuffers = 4

// stage reads ahead in a goroutine of its own, so that sealing goes on while a
// disk is waited for.
type stage struct {
	full chan staged
	free chan []byte
	stop chan struct{}
	done chan struct{}
	cur  staged
	off  int
}

type staged struct {
	b   []byte
	err error
}

func newStage(r io.Reader) *stage {
	s := &stage{full: make(chan staged, stageBuffers), free: make(chan []byte, stageBuffers), stop: make(chan struct{}),
		done: make(chan struct{})}
	for range stageBuffers {
		s.free <- make([]byte, chunkSize)
	}
	go s.run(r)
	return s
}

func (s *stage) run(r io.Reader) {
	defer close(s.done)
	for {
		select {
		case <-s.stop:
			return
		case b := <-s.free:
			n, err := io.ReadFull(r, b)
			if err == io.ErrUnexpectedEOF {
				err = io.EOF
			}
			s.full <- staged{b[:n], err}
			if err != nil {
				return
			}
		}
	}
}

func (s *stage) Read(p []byte) (int, error) {
	for s.off == len(s.cur.b) {
		if s.cur.err != nil {
			return 0, s.cur.err
		}
		if s.cur.b != nil {
			s.free <- s.cur.b[:cap(s.cur.b)]
		}
		s.cur, s.off = <-s.full, 0
	}
	n := copy(p, s.cur.b[s.off:])
	s.off += n
	return n, nil
}

// Close waits for the goroutine: after it nobody reads the source any more.
func (s *stage) Close() {
	close(s.stop)
	<-s.done
}
