package targettest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/runtime/ledger"
)

// File is one file of a test artifact.
type File struct {
	Name string
	Data []byte
}

// Bytes returns n bytes that do not repeat, the same for the same seed.
func Bytes(seed uint64, n int) []byte {
	b := make([]byte, n)
	var key [32]byte
	key[0], key[1] = byte(seed), byte(seed>>8)
	_, _ = rand.NewChaCha8(key).Read(b) // it cannot fail
	return b
}

// Artifact describes files as a backup primitive would.
func Artifact(files ...File) ledger.Artifact {
	a := ledger.Artifact{
		ID: ledger.ArtifactID("run-1", "/0"), Kind: "vm", Asset: "virtual_machines", Item: "erp", Run: "run-1", Step: "/0",
		Source: "pve:qemu/100", Created: time.Date(2026, 11, 23, 7, 11, 16, 0, time.UTC), Consistency: "agent freeze",
		Declared: map[string]string{"scsi0": "34359738368"},
	}
	for _, f := range files {
		a.Files = append(a.Files, ledger.File{Name: f.Name, Size: int64(len(f.Data))})
		a.Bytes += int64(len(f.Data))
	}
	return a
}

// Source offers files for copying.
func Source(files ...File) target.Source {
	return target.Source{
		Artifact: Artifact(files...),
		Open: func(_ context.Context, name string, offset int64) (io.ReadCloser, error) {
			for _, f := range files {
				if f.Name == name {
					return io.NopCloser(bytes.NewReader(f.Data[offset:])), nil
				}
			}
			return nil, fmt.Errorf("no file %q", name)
		},
		Manifest: map[string]string{"sop": "IT-245"},
		Head:     ledger.Head{Size: 7, Root: [32]byte{1, 2, 3}},
	}
}

// ErrBroken is what a source says that BreakAt broke. It holds io.EOF, as errors of
// SSH do whose connection ends: that is not an end of a file.
var ErrBroken = fmt.Errorf("the source broke off: %w", io.EOF)

// BreakAt has a source fail after n bytes of all its files together, then calls then.
func BreakAt(src target.Source, n int64, then func()) target.Source {
	open := src.Open
	left := n
	src.Open = func(ctx context.Context, name string, offset int64) (io.ReadCloser, error) {
		rc, err := open(ctx, name, offset)
		if err != nil {
			return nil, err
		}
		return &broken{ReadCloser: rc, left: &left, then: then}, nil
	}
	return src
}

type broken struct {
	io.ReadCloser
	left *int64
	then func()
}

func (b *broken) Read(p []byte) (int, error) {
	if *b.left == 0 {
		if b.then != nil {
			b.then()
		}
		return 0, ErrBroken
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), *b.left)])
	*b.left -= int64(n)
	return n, err
}
