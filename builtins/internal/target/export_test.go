package target

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/neosofia/runner/builtins/internal/store"
)

// SetSilence makes an SFTP target impatient, from its next connection on.
func SetSilence(t *Target, d time.Duration) {
	s := t.store.(*sftpStore)
	s.Close()
	s.dialer.config.Silence = d
}

// AsObjects makes a folder keep its files as an object store does: none is renamed or
// appended to, and one that breaks off is not there.
func AsObjects(t *Target) {
	t.store = &objects{t.store}
	t.caps.Rename, t.caps.Append = false, false
}

type objects struct{ store.Store }

func (o *objects) Put(ctx context.Context, name string, offset, size int64, r io.Reader) (int64, error) {
	if offset != 0 {
		return 0, fmt.Errorf("append to %s: an object store cannot", name)
	}
	n, err := o.Store.Put(ctx, name, 0, size, r)
	if err != nil && !strings.HasSuffix(name, ".json") {
		if derr := o.Delete(context.WithoutCancel(ctx), name); derr != nil {
			return n, derr
		}
	}
	return n, err
}

func (o *objects) Rename(_ context.Context, from, to string) error {
	return fmt.Errorf("rename %s to %s: an object store cannot", from, to)
}
