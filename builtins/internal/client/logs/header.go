package logs

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/neosofia/runner/builtins/internal/client/host"
	"github.com/neosofia/runner/builtins/internal/format/journal"
)

// sequences are the numbers of the newest entries by the headers of the journal's
// files, by sequence. Of files that journalctl cannot open it says nothing; the
// export says of those.
func sequences(ctx context.Context, h host.Host) (map[string]uint64, error) {
	res, err := h.Run(ctx, host.Command{Args: []string{"journalctl", "--header", "--no-pager", "--quiet"}, Limit: 16 << 20})
	if err != nil {
		return nil, err
	}
	tails := map[string]uint64{}
	id := ""
	for in := bufio.NewScanner(bytes.NewReader(res.Stdout)); in.Scan(); {
		name, value, _ := strings.Cut(in.Text(), ": ")
		switch name {
		case "Sequential number ID", "Sequential Number ID": // the older spelling is that of systemd before 246
			id = strings.TrimSpace(value)
		case "Tail sequential number", "Tail Sequential Number": // "40 (28)"
			digits, _, _ := strings.Cut(value, " ")
			if n, err := strconv.ParseUint(digits, 10, 64); err == nil && id != "" {
				tails[id] = max(tails[id], n)
			}
		}
	}
	return tails, nil
}

// reach keeps the highest number that was read of a sequence.
func (j *journalRead) reach(cursor []byte) {
	if id, n, ok := journal.Sequence(cursor); ok && n > j.highest[string(id)] {
		j.highest[string(id)] = n
	}
}

// whole holds what journalctl gave against the headers, which were read before: where
// an entry is damaged, it ends without a word.
func (j *journalRead) whole(tails map[string]uint64) {
	if j.c.More {
		return // the next batch goes on
	}
	for _, id := range slices.Sorted(maps.Keys(j.highest)) {
		if got, tail := j.highest[id], tails[id]; tail > got {
			j.c.gap(fmt.Sprintf("journal entries %d to %d", got+1, tail), "%d entries that the journal's header counts did not come: they lie in "+
				"a damaged file (journalctl --verify finds it)", tail-got)
			j.c.Damaged = fmt.Sprintf("the journal ends at entry %d, its header says %d", got, tail)
		}
	}
}
