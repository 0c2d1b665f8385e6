package logs

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"io"

	"github.com/klauspost/compress/zstd"

	"github.com/neosofia/runner/builtins/internal/format/logbatch"
)

// Sink receives the files of a batch.
type Sink interface {
	Create(name string) (io.WriteCloser, error)
	Drop(name string) error // a file that was created, and is not wanted
}

// part is one file of a batch under way: what is written to it is digested, its
// lines are counted, and it is compressed.
type part struct {
	logbatch.Part
	sum     hash.Hash
	z       *zstd.Encoder
	file    io.WriteCloser
	sink    Sink
	lines   int64
	unended int64 // bytes behind the last line end
}

func newPart(sink Sink, name, of string, from int64) (*part, error) {
	f, err := sink.Create(name)
	if err != nil {
		return nil, err
	}
	z, err := zstd.NewWriter(f, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20))
	if err != nil {
		f.Close()
		return nil, err
	}
	return &part{Part: logbatch.Part{File: name, Of: logbatch.Name(of), From: from}, sum: sha256.New(), z: z, file: f, sink: sink}, nil
}

func (p *part) Write(b []byte) (int, error) {
	p.sum.Write(b)
	p.lines += int64(bytes.Count(b, []byte{'\n'}))
	if end := bytes.LastIndexByte(b, '\n'); end >= 0 {
		p.unended = int64(len(b) - end - 1)
	} else {
		p.unended += int64(len(b))
	}
	n, err := p.z.Write(b)
	p.Bytes += int64(n)
	return n, err
}

// close makes the file whole.
func (p *part) close() error {
	err := p.z.Close()
	if cerr := p.file.Close(); err == nil {
		err = cerr
	}
	p.SHA256 = hex.EncodeToString(p.sum.Sum(nil))
	return err
}

// drop takes the file back.
func (p *part) drop() error {
	_ = p.z.Close() // it is thrown away
	_ = p.file.Close()
	return p.sink.Drop(p.File)
}
