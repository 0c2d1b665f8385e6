package proxmox

import (
	"encoding/json"
	"strings"
	"testing"
)

// Whatever a task's log holds, reading it ends, and says no more than it holds.
func FuzzReadLog(f *testing.F) {
	f.Add("INFO: Starting Backup of VM 100 (qemu)\nINFO: creating vzdump archive " +
		"'/srv/backup/dump/vzdump-qemu-100-2026_11_23-07_11_16.vma.zst'\nINFO: Finished Backup of VM 100 (00:00:05)\nTASK OK")
	f.Add("INFO: Starting Backup of VM 100 (lxc)\nERROR: Backup of VM 100 failed - x\nWARN: unable to add notes - y")
	f.Fuzz(func(t *testing.T, text string) {
		log := ReadLog(strings.Split(text, "\n"), 100)
		if log.Finished && !strings.Contains(text, "Finished Backup of VM 100 (") || log.Failure != "" &&
			!strings.Contains(text, "Backup of VM 100 failed") {
			t.Errorf("got %+v", log)
		}
	})
}

// Numbers come as numbers and as text; nothing else is one.
func FuzzInt(f *testing.F) {
	f.Add([]byte(`"1"`))
	f.Add([]byte(`9223372036854775808`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var n struct{ N Int }
		text := strings.TrimSpace(string(raw))
		if err := json.Unmarshal([]byte(`{"N":`+text+`}`), &n); err != nil || text == "null" || text == "true" || text == "false" ||
			text == `""` {
			return
		}
		if !strings.ContainsAny(text, "0123456789") {
			t.Errorf("%q is %d", raw, n.N)
		}
	})
}
