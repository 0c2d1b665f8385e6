package ledger

import (
	"slices"
	"strings"
)

// What an artifact declares is its kind's own, but for these, which every reader of the
// ledger understands.
const (
	DeclaredErases  = "erases"  // guests that a recovery with it erases, "100 (erp),101"
	DeclaredSerials = "serials" // of the disks that such a recovery makes anew: copies there are lost, too
	DeclaredSet     = "set"     // who can open it; another set is opened by others
	DeclaredChanges = "changes" // against the artifact before: "since TIME:", then a line for each section
	declaredShow    = "show "   // begins the label of a list that an operator needs to see
)

// DeclaredShown is the key of a list that is shown under a label.
func DeclaredShown(label string) string { return declaredShow + label }

// Erases lists the guests that a recovery with the artifact erases.
func (a Artifact) Erases() []string { return parts(a.Declared[DeclaredErases]) }

// Serials lists the disks that a recovery with the artifact makes anew.
func (a Artifact) Serials() []string { return parts(a.Declared[DeclaredSerials]) }

// Shown is a list that an operator needs to see.
type Shown struct {
	Label string
	Words []string
}

// Shown lists what of the artifact's declarations is to be shown, by label.
func (a Artifact) Shown() (out []Shown) {
	for key, list := range a.Declared {
		if label, ok := strings.CutPrefix(key, declaredShow); ok && len(parts(list)) > 0 {
			out = append(out, Shown{label, parts(list)})
		}
	}
	slices.SortFunc(out, func(a, b Shown) int { return strings.Compare(a.Label, b.Label) })
	return out
}

// parts are the words of a list.
func parts(list string) (out []string) {
	for s := range strings.SplitSeq(list, ",") {
		if s = strings.TrimSpace(s); s != "" {
			out = append(out, s)
		}
	}
	return out
}
