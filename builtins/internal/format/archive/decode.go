package archive

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/neosofia/runner/builtins/internal/format/vma"
)

// OrderDisks checks a VMA archive as Check does and writes its disks in order: see
// vma.Reader.Ordered. The disks are worth something only without an error, and then the header has
// what vma.Encode needs to make the archive again.
func OrderDisks(ctx context.Context, name string, r io.Reader, spool *vma.Spool,
	target func(vma.Device) (io.Writer, error)) (vma.Header, error) {
	s, err := open(ctx, name, r)
	if err != nil {
		return vma.Header{}, err
	}
	defer s.close()
	if s.format.container != vmaContainer {
		return vma.Header{}, fmt.Errorf("decode %s: a %s archive holds no disks", name, s.format)
	}
	v, err := vma.NewReader(s)
	if err != nil {
		return vma.Header{}, s.blame(err)
	}
	h := v.Header()
	if err := s.wantConfig(&Report{Configs: h.Configs}); err != nil {
		return h, err
	}
	if err := v.Ordered(ctx, spool, target); err != nil {
		return h, s.blame(err)
	}
	return h, nil
}

// Clear returns an archive's bytes without their compression. It ends with io.EOF only where the
// compression is whole; what is in the clear bytes, it does not look at.
func Clear(ctx context.Context, name string, r io.Reader) (io.ReadCloser, error) {
	s, err := open(ctx, name, r)
	if err != nil {
		return nil, err
	}
	return &clearStream{s}, nil
}

type clearStream struct{ *stream }

func (c *clearStream) Close() error {
	c.close()
	return nil
}

// Plain is the name of what Clear gives. "" is returned for names that say of no archive whose contents
// are known.
func Plain(name string) (plain string, vma bool) {
	f, err := formatOf(name)
	if err != nil || f.container == noContainer {
		return "", false
	}
	base := filepath.Base(name)
	if strings.HasSuffix(base, ".tgz") {
		return strings.TrimSuffix(base, ".tgz") + ".tar", false
	}
	return strings.TrimSuffix(base, "."+f.compression), f.container == vmaContainer
}
