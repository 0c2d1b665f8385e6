package target

import (
	"bytes"
	"context"
	"errors"
	"strings"

	"github.com/neosofia/runner/runtime/failure"
)

const probeName = ".runner-probe-" // and the day

// ProbeImmutable finds out whether the credential of this run can change what is
// on the target: it writes files of its own, two a day, and tries to append to them, to
// overwrite, replace, rename and delete them. Could is what was possible; none, only when all was refused and
// the file is as it was. Where the files can be deleted, they are. That nothing could be
// written is an error. By tells those who probe apart.
//
// Overwriting is tried on what lies there since an earlier day, if anything does: a server
// may take the right to write from what is complete, some minutes later.
func ProbeImmutable(ctx context.Context, t *Target, by string) (could []string, err error) {
	name := probeName + t.env.Now().UTC().Format("20060102") + by
	moved, other := name+".moved", name+".other"
	text := []byte("runner tries whether this file can be changed\n")
	for _, n := range []string{name, other} {
		if err := t.probeFile(ctx, n, text); err != nil {
			return nil, err
		}
	}
	old, err := t.probeBefore(ctx, name)
	if err != nil {
		return nil, err
	}
	for _, try := range []struct {
		what string
		do   func() error
	}{
		{"append", func() error { // what our own overwriting is refused for is not what somebody else's is
			if !t.caps.Append {
				return &failure.Error{Code: CodeDenied}
			}
			_, err := t.store.Put(ctx, old, int64(len(text)), 1, bytes.NewReader([]byte("x")))
			return err
		}},
		{"overwrite", func() error {
			_, err := t.store.Put(ctx, old, 0, 1, bytes.NewReader([]byte("x")))
			return err
		}},
		{"replace", func() error { return t.probeRename(ctx, other, name) }},
		{"rename", func() error {
			err := t.probeRename(ctx, name, moved)
			if err == nil {
				err = t.store.Rename(ctx, moved, name)
			}
			return err
		}},
		{"delete", func() error { return t.store.Delete(ctx, name) }},
	} {
		switch err := try.do(); {
		case err == nil:
			could = append(could, try.what)
		case !failure.Is(err, CodeDenied, CodeReadOnly, CodeFailed):
			return nil, err
		}
	}
	if len(could) > 0 {
		return could, errors.Join(t.probeRest(ctx, other), t.probeRest(ctx, old))
	}
	for _, n := range []string{name, old} {
		b, err := t.small(ctx, n, int64(len(text)))
		if err != nil && !failure.Is(err, CodeDamaged) { // it is longer
			return nil, err
		}
		if !bytes.Equal(b, text) {
			return []string{"change"}, nil
		}
	}
	t.probed.Store(true)
	return nil, nil
}

// probeBefore is the newest file of an earlier day's probe, or the one of today.
func (t *Target) probeBefore(ctx context.Context, today string) (string, error) {
	infos, err := t.store.List(ctx, ".")
	if err != nil {
		return "", err
	}
	const day = len(probeName + "20060102")
	old := today
	for _, info := range infos {
		if strings.HasPrefix(info.Name, probeName) && len(info.Name) >= day && !strings.Contains(info.Name[1:], ".") &&
			info.Name[:day] < today[:day] && (old == today || info.Name > old) {
			old = info.Name
		}
	}
	return old, nil
}

// probeFile makes a file that is to be changed, unless it is there since an earlier probe
// of the day.
func (t *Target) probeFile(ctx context.Context, name string, text []byte) error {
	_, err := t.store.Stat(ctx, name)
	if failure.Is(err, CodeNotFound) {
		_, err = t.store.Put(ctx, name, 0, int64(len(text)), bytes.NewReader(text))
	}
	return err
}

func (t *Target) probeRename(ctx context.Context, from, to string) error {
	if !t.caps.Rename { // there is no such request
		return &failure.Error{Code: CodeDenied}
	}
	return t.store.Rename(ctx, from, to)
}

// probeRest removes another file of the probe where that can be done.
func (t *Target) probeRest(ctx context.Context, name string) error {
	err := t.store.Delete(ctx, name)
	if failure.Is(err, CodeDenied, CodeReadOnly, CodeFailed, CodeNotFound) {
		return nil
	}
	return err
}
