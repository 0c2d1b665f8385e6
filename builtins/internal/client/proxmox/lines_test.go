package proxmox

import (
	"strings"
	"testing"
)

func TestLinesKeepTheBeginningAndTheEndOfALongLog(t *testing.T) {
	var done, total int64
	l := &Lines{Progress: func(d, n int64) { done, total = d, n }}
	l.Add("INFO: starting new backup job: vzdump 100")
	for range 3 * maxLines {
		l.Add(strings.Repeat("x", 10_000))
	}
	l.Add("INFO:  50% (512.0 MiB of 1.0 GiB) in 3s, read: 1 MiB/s, write: 0 B/s")
	l.Add("INFO: Finished Backup of VM 100 (00:00:05)")
	if len(l.All) > maxLines || l.All[0] != "INFO: starting new backup job: vzdump 100" ||
		!strings.Contains(l.All[len(l.All)-1], "Finished") || len(l.All[1]) > 4096 {
		t.Errorf("kept %d lines, the first %q", len(l.All), l.All[0])
	}
	if done != 512<<20 || total != 1<<30 {
		t.Errorf("progress: got %d of %d", done, total)
	}
}
