package ssh

import (
	"context"
	"io"
)

// readAhead is how many reads are on the way at once.
const readAhead = 32

// CopyInOrder copies what r holds from an offset to w, with several reads on the
// way. sftp.File.WriteTo would do the same faster to write, but takes a server's
// answer that is shorter than its request for a whole one and leaves a hole;
// servers other than OpenSSH's answer with 32 KiB. ReadAt asks for the rest.
func CopyInOrder(ctx context.Context, w io.Writer, r io.ReaderAt, offset int64) (int64, error) {
	parent := ctx
	ctx, cancel := context.WithCancel(parent)
	defer cancel()
	type block struct {
		buf  []byte
		n    int
		err  error
		done chan struct{}
	}
	order := make(chan *block, readAhead)
	free := make(chan []byte, readAhead+1)
	go func() {
		defer close(order)
		for at, made := offset, 0; ctx.Err() == nil; at += Packet {
			var buf []byte
			select {
			case buf = <-free:
			default:
				if made <= readAhead {
					buf, made = make([]byte, Packet), made+1
				} else {
					select {
					case buf = <-free:
					case <-ctx.Done():
						return
					}
				}
			}
			b := &block{buf: buf, done: make(chan struct{})}
			go func() {
				b.n, b.err = r.ReadAt(b.buf, at)
				close(b.done)
			}()
			select {
			case order <- b:
			case <-ctx.Done():
				<-b.done
				return
			}
		}
	}()
	var total int64
	var failed error
	for b := range order {
		<-b.done
		if failed != nil {
			continue // let the reads that are on the way come back
		}
		n, err := w.Write(b.buf[:b.n])
		total += int64(n)
		switch {
		case err != nil:
			failed = err
		case b.err != nil:
			failed = b.err
		case b.n < Packet:
			failed = io.ErrUnexpectedEOF
		}
		if failed != nil {
			cancel()
			continue
		}
		free <- b.buf
	}
	switch {
	case failed == io.EOF:
		return total, nil
	case parent.Err() != nil:
		return total, context.Cause(parent)
	}
	return total, failed
}
