package report

import (
	"strings"

	"github.com/neosofia/runner/runtime/ledger"
)

// folded is a finding that stands for others which differ in the item only.
type folded struct {
	ledger.Finding
	also []string
}

// fold joins findings that fail alike. They stay apart in the record.
func fold(found []ledger.Finding) []*folded {
	at := map[string]*folded{}
	var out []*folded
	for _, f := range found {
		key := strings.Join([]string{f.Severity, f.Asset, f.Target, without(f.Text, f.Item), without(f.Type, f.Item)}, "\x00")
		if same := at[key]; same != nil && f.Item != "" {
			same.also = append(same.also, f.Item)
			continue
		}
		at[key] = &folded{Finding: f}
		out = append(out, at[key])
	}
	return out
}

// without leaves a place where the item stood as a word of its own.
func without(text, item string) string {
	if item == "" {
		return text
	}
	words := strings.FieldsFunc(text, func(r rune) bool { return r == ' ' })
	for i, w := range words {
		if strings.Trim(w, `:;,."`) == item || w == `"`+item+`",` {
			words[i] = strings.Replace(w, item, "\x01", 1)
		}
	}
	return strings.Join(words, " ")
}
