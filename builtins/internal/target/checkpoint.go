package target

import (
	"context"
	"fmt"
	"strings"
)

const (
	maxCheckpoint  = 64 << 10 // bytes
	maxCheckpoints = 1000
)

// PutCheckpoint leaves the ledger's head on the target, under a host's name; with
// a time where nothing can be replaced.
func (t *Target) PutCheckpoint(ctx context.Context, name, text string) error {
	if t.store == nil {
		return nil
	}
	if len(text) > maxCheckpoint {
		return fmt.Errorf("put checkpoint: it has more than %d bytes", maxCheckpoint)
	}
	file := "checkpoint-" + safeName(name)
	if t.spec.Immutable {
		file += "-" + t.env.Now().UTC().Format("20060102T150405.000000Z") // two runs may end in one second
	}
	return t.putSmall(ctx, file+".txt", []byte(text))
}

// Checkpoints returns the texts that are on the target by host, as they are:
// nothing in them has been checked. One that is too large is an error.
func (t *Target) Checkpoints(ctx context.Context) (map[string]string, error) {
	all := map[string]string{}
	if t.store == nil {
		return all, nil
	}
	infos, err := t.store.List(ctx, ".")
	if err != nil {
		return nil, err
	}
	for _, info := range infos {
		host, ok := strings.CutPrefix(info.Name, "checkpoint-")
		host, ok2 := strings.CutSuffix(host, ".txt")
		if !ok || !ok2 || !safePart(host) || !info.Regular {
			continue
		}
		if len(all) == maxCheckpoints {
			return nil, damaged(t.spec.Name, "read checkpoints", "there are more than %d", maxCheckpoints)
		}
		b, err := t.small(ctx, info.Name, maxCheckpoint)
		if err != nil {
			return nil, err
		}
		all[host] = string(b)
	}
	return all, nil
}
