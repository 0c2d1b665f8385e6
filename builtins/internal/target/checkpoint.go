package target

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	maxCheckpoint = 64 << 10 // bytes
	maxHosts      = 1000
	newest        = 32 // checkpoints of a host that are read where none is ever replaced

	dateLayout = "20060102T150405.000000Z" // two runs may end in one second
)

// PutCheckpoint leaves the ledger's head on the target, under a host's name; with
// a time where nothing can be replaced.
func (t *Target) PutCheckpoint(ctx context.Context, name, text string) error {
	if t.InPlace() {
		return nil
	}
	if len(text) > maxCheckpoint {
		return fmt.Errorf("put checkpoint: it has more than %d bytes", maxCheckpoint)
	}
	file := "checkpoint-" + safeName(name)
	if t.spec.Immutable {
		file += "-" + t.env.Now().UTC().Format(dateLayout)
	}
	return t.putSmall(ctx, file+".txt", []byte(text))
}

// Checkpoints returns the texts that are on the target by host, as they are:
// nothing in them has been checked. Where nothing can be replaced, the names end in
// their time, and the newest of each host are read: a target of years holds thousands.
// One that is too large is an error.
func (t *Target) Checkpoints(ctx context.Context) (map[string]string, error) {
	all := map[string]string{}
	infos, err := t.store.List(ctx, ".")
	if err != nil {
		return nil, err
	}
	hosts := map[string][]string{}
	for _, info := range infos {
		name, ok := strings.CutPrefix(info.Name, "checkpoint-")
		name, ok2 := strings.CutSuffix(name, ".txt")
		if ok && ok2 && safePart(name) && info.Regular {
			host := undated(name)
			hosts[host] = append(hosts[host], name)
		}
	}
	if len(hosts) > maxHosts {
		return nil, damaged(t.spec.Name, "read checkpoints", "there are those of more than %d hosts", maxHosts)
	}
	for _, names := range hosts {
		// By time, and the one without a time before all: it was left when the target
		// could still replace files.
		slices.SortFunc(names, func(a, b string) int { return cmp.Compare(b, a) })
		for _, name := range names[:min(len(names), newest)] {
			b, err := t.small(ctx, "checkpoint-"+name+".txt", maxCheckpoint)
			if err != nil {
				return nil, err
			}
			all[name] = string(b)
		}
	}
	return all, nil
}

// undated is a checkpoint's name without its time.
func undated(name string) string {
	if n := len(name) - len(dateLayout); n > 1 && name[n-1] == '-' {
		if _, err := time.Parse(dateLayout, name[n:]); err == nil {
			return name[:n-1]
		}
	}
	return name
}
