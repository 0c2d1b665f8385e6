package decoded

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/neosofia/runner/builtins/internal/format/vma"
	"github.com/neosofia/runner/builtins/internal/store"
	"github.com/neosofia/runner/builtins/internal/target"
)

// Decoder decodes for targets. The spool of an archive is made in Dir and takes at most Limit bytes.
type Decoder struct {
	Dir   string
	Limit int64
}

var _ target.Decoder = Decoder{}

// Put implements target.Decoder.
func (d Decoder) Put(ctx context.Context, s store.Store, folder, file string, r io.Reader) (ix target.Decoded, err error) {
	if strings.HasSuffix(file, ".bz2") {
		return ix, fmt.Errorf("%w: %s could not be packed again", target.ErrAsItIs, file)
	}
	spool := vma.NewSpool(d.Dir, d.Limit)
	defer func() {
		if cerr := spool.Close(); err == nil {
			err = cerr
		}
	}()
	return Put(ctx, s, folder, file, r, spool)
}

// Archive implements target.Decoder. The compression is the fastest: what reads it unpacks it at once.
func (d Decoder) Archive(ctx context.Context, s store.Store, folder string, ix target.Decoded) (io.ReadCloser, error) {
	plain, err := Archive(ctx, s, folder, ix)
	if err != nil {
		return nil, err
	}
	r, w := io.Pipe()
	var pack io.WriteCloser
	switch {
	case strings.HasSuffix(ix.File, ".zst"):
		pack, err = zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(true))
	case strings.HasSuffix(ix.File, "gz"):
		pack, err = gzip.NewWriterLevel(w, gzip.BestSpeed)
	default:
		return plain, nil
	}
	if err != nil {
		return nil, errors.Join(err, plain.Close())
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, err := io.CopyBuffer(struct{ io.Writer }{pack}, plain, make([]byte, 256<<10))
		if err == nil {
			err = pack.Close()
		}
		w.CloseWithError(err)
	}()
	return &made{PipeReader: r, stop: func() error {
		r.CloseWithError(errClosed)
		err := plain.Close()
		<-done
		return err
	}}, nil
}

// Commands implements target.Decoder.
func (Decoder) Commands(ix target.Decoded) []string { return Commands(ix) }
