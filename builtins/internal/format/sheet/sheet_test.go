package sheet

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"rsc.io/qr"
)

func TestTheSheetIsReadAsItIsTyped(t *testing.T) {
	hybrid, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	classic, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	for name, id := range map[string]interface {
		age.Identity
		fmt.Stringer
	}{"hybrid": hybrid, "classic": classic} {
		text, err := Sheet(id.String(), "age1pq1x", "age:0", time.Now())
		if err != nil {
			t.Fatal(err)
		}
		var lines []string
		for _, l := range strings.Split(text, "\n") {
			if strings.Contains(l, "  / ") {
				lines = append(lines, l)
			}
		}
		if len(lines) < 4 {
			t.Fatalf("%s: the sheet has %d lines:\n%s", name, len(lines), text)
		}
		typed := func(lines ...string) (string, error) {
			var k Typed
			for _, l := range lines {
				if _, err := k.Add(l); err != nil {
					return "", err
				}
			}
			got, err := k.Keys()
			if err != nil {
				return "", err
			}
			return fmt.Sprint(got.Identities[0]), nil
		}
		for how, in := range map[string][]string{
			"as printed": lines, "in small letters": {strings.ToLower(strings.Join(lines[:1], "")), lines[1], lines[2], lines[3]},
			"the key itself": {"# a comment", "", id.String()}, "the key in groups": {strings.Join(groups(id.String()), " ")},
			"without numbers": {lines[0][4:], lines[1][4:], lines[2][4:], lines[3][4:]},
		} {
			if got, err := typed(in...); err != nil || got != id.String() {
				t.Errorf("%s, %s: got another key, or %v", name, how, err)
			}
		}
		wrong := []byte(lines[1])
		at := strings.IndexFunc(lines[1], func(r rune) bool { return r >= 'A' && r <= 'Z' })
		wrong[at] = 'A' + (wrong[at]-'A'+1)%26
		for how, c := range map[string]struct {
			lines []string
			want  string
		}{
			"a slip":                 {[]string{lines[0], string(wrong)}, "line 2 does not agree"},
			"lines in another order": {[]string{lines[1]}, "line 1 comes now"},
			"lines in another order, without numbers": {[]string{lines[1][4:]}, "line 1 does not agree"},
			"a line is missing":                       {lines[:3], "not a recovery key yet: line 4"},
			"something else":                          {[]string{"hunter2"}, "no recovery key"},
			"far too long":                            {[]string{strings.Repeat("A", 300)}, "no recovery key"},
		} {
			_, err := typed(c.lines...)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hunter2") ||
				strings.Contains(err.Error(), "SECRET-KEY-1") {
				t.Errorf("%s, %s: got %v, want %q", name, how, err, c.want)
			}
		}
	}
}

// What is drawn is the code, with its quiet zone, module by module.
func TestTheCodeIsDrawnWhole(t *testing.T) {
	code, err := qr.Encode("AGE-SECRET-KEY-PQ-1QQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQ", qr.M)
	if err != nil {
		t.Fatal(err)
	}
	rows := strings.Split(strings.TrimSuffix(drawn(code), "\n"), "\n")
	if want := (code.Size + 2*quietZone + 1) / 2; len(rows) != want {
		t.Fatalf("got %d rows, want %d", len(rows), want)
	}
	black := 0
	for y, row := range rows {
		for x, r := range []rune(row) {
			up, down := r == '█' || r == '▀', r == '█' || r == '▄'
			if up != code.Black(x-quietZone, 2*y-quietZone) || down != code.Black(x-quietZone, 2*y+1-quietZone) {
				t.Fatalf("the modules at %d, %d are wrong", x, 2*y)
			}
			if up {
				black++
			}
		}
	}
	if black < code.Size {
		t.Errorf("%d modules are black", black)
	}
}
