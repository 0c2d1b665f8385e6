package archive

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
)

// attributes restores what hangs on a file or a directory. What the file system
// or the system refuses is reported.
func (t *tree) attributes(e entry, f *os.File) {
	for _, key := range slices.Sorted(maps.Keys(e.PAXRecords)) {
		value := e.PAXRecords[key]
		name, err := attributeName(key)
		if err == nil && (name == "" || hasRawACL(e, key)) {
			continue
		}
		data := []byte(value)
		if err == nil && isACL(name) && !strings.HasPrefix(key, paxACL) {
			_, err = checkACL(value)
		}
		if err == nil && strings.HasPrefix(key, paxACL) {
			var without []string
			data, without, err = encodeACL(value)
			for _, w := range without {
				t.skip(e.Name, fmt.Sprintf("ACL entry %s: %v", w, errNoNumber))
			}
		}
		if err == nil {
			err = setAttribute(f, name, data)
		}
		if err != nil {
			t.skip(e.Name, fmt.Sprintf("attribute %s: %v", key, err))
		}
	}
}

func (t *tree) leaveOut(e entry, why string) error {
	if len(t.nodes) >= maxNodes {
		return fmt.Errorf("more than %d entries would be left out", maxNodes)
	}
	t.nodes[e.path] = true
	t.skip(e.Name, why)
	return nil
}

func (t *tree) skip(name, why string) {
	if t.lines += len(name) + len(why); len(t.report.Skipped) >= maxSkipped || t.lines > maxSkippedBytes {
		t.more++
		return
	}
	t.report.Skipped = append(t.report.Skipped, fmt.Sprintf("%q: %s", name, why))
}

// summarize counts what did not fit the list.
func (t *tree) summarize() {
	if t.more > 0 {
		t.report.Skipped = append(t.report.Skipped, fmt.Sprintf("and %d more", t.more))
	}
}
