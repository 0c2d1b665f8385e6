package target

import (
	"bytes"
	"context"

	"github.com/neosofia/runner/runtime/failure"
)

// ProbeImmutable finds out whether the credential of this run can change what is
// on the target: it writes a file, one a day, and tries to overwrite, rename and
// delete it. It is true only when all three are refused and the file is as it
// was. Where the file can be deleted, it is.
func ProbeImmutable(ctx context.Context, t *Target) (bool, error) {
	name := ".runner-probe-" + t.env.Now().UTC().Format("20060102")
	moved := name + ".moved"
	text := []byte("runner tries whether this file can be changed\n")
	_, err := t.store.Stat(ctx, name)
	if failure.Is(err, CodeNotFound) {
		_, err = t.store.Put(ctx, name, 0, int64(len(text)), bytes.NewReader(text))
	}
	if err != nil {
		return false, err
	}
	could := 0
	for _, try := range []func() error{
		func() error {
			_, err := t.store.Put(ctx, name, 0, 1, bytes.NewReader([]byte("x")))
			return err
		},
		func() error {
			if !t.caps.Rename { // there is no such request
				return &failure.Error{Code: CodeDenied}
			}
			err := t.store.Rename(ctx, name, moved)
			if err == nil {
				err = t.store.Rename(ctx, moved, name)
			}
			return err
		},
		func() error { return t.store.Delete(ctx, name) },
	} {
		switch err := try(); {
		case err == nil:
			could++
		case !failure.Is(err, CodeDenied, CodeReadOnly, CodeFailed):
			return false, err
		}
	}
	if could > 0 {
		return false, nil
	}
	b, err := t.small(ctx, name, int64(len(text)))
	if err != nil {
		return false, err
	}
	same := bytes.Equal(b, text)
	t.probed.Store(same)
	return same, nil
}
