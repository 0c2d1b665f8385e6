package custody

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"filippo.io/age"
	"github.com/neosofia/runner/builtins/internal/target"
	"rsc.io/qr"
)

// A sheet carries the identity three times: in lines of five groups of four
// characters, each line with its number and a checksum; as a QR code of the same
// text; and its public half, for site.star. The QR code comes from rsc.io/qr: small,
// without dependencies, and finished.

const (
	groupSize  = 4
	lineGroups = 5
	maxKey     = 256 // characters of an identity
	quietZone  = 4   // modules around a QR code
)

// Sheet is the text to be printed.
func Sheet(identity, recipient string, now time.Time) (string, error) {
	code, err := qr.Encode(identity, qr.M)
	if err != nil {
		return "", fmt.Errorf("draw the key: %w", err)
	}
	kind := "hybrid, X25519 with ML-KEM-768"
	if !strings.HasPrefix(recipient, "age1pq1") {
		kind = "classic, X25519"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "RECOVERY KEY of runner (%s), made on %s\n", kind, now.UTC().Format("2006-01-02 15:04 UTC"))
	b.WriteString("Whoever reads this sheet can open every copy that is sealed to it. Keep it in a safe, and a second one elsewhere.\n\n")
	for i, line := range sheetLines(identity) {
		fmt.Fprintf(&b, "  %d  %s  / %s\n", i+1, strings.Join(groups(line), " "), lineSum(i+1, line))
	}
	b.WriteString("\nBehind the stroke: a checksum of the line, which runner recovery-key test asks for and checks. In full:\n\n  " + identity + "\n\n")
	b.WriteString(drawn(code))
	fmt.Fprintf(&b, "\nkey %s. Its public half, for site.star (this is no secret):\n\nsealed_to = [%q]\n", target.Fingerprint(recipient), recipient)
	return b.String(), nil
}

func sheetLines(identity string) (out []string) {
	for n := groupSize * lineGroups; len(identity) > n; identity = identity[n:] {
		out = append(out, identity[:n])
	}
	return append(out, identity)
}

func groups(line string) (out []string) {
	for ; len(line) > groupSize; line = line[groupSize:] {
		out = append(out, line[:groupSize])
	}
	return append(out, line)
}

// lineSum is the checksum of a line: four hex digits, over its number, too, so that
// lines that change places are found.
func lineSum(n int, line string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %s", n, line))
	return hex.EncodeToString(sum[:2])
}

// drawn is a QR code in half blocks, dark on light as on paper.
func drawn(code *qr.Code) string {
	var b strings.Builder
	for y := -quietZone; y < code.Size+quietZone; y += 2 {
		for x := -quietZone; x < code.Size+quietZone; x++ {
			switch up, down := code.Black(x, y), code.Black(x, y+1); {
			case up && down:
				b.WriteRune('█')
			case up:
				b.WriteRune('▀')
			case down:
				b.WriteRune('▄')
			default:
				b.WriteByte(' ')
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// TypedKey collects a key line by line.
type TypedKey struct {
	Lines int // that were taken
	text  strings.Builder
}

// Add takes a line of the sheet, "1  AGE- SECR … / 1a2b" with or without its
// number, or a line that is the key itself; comments and empty lines are left out.
func (k *TypedKey) Add(line string) error {
	line = strings.TrimSpace(line)
	if line == "" || strings.HasPrefix(line, "#") {
		return nil
	}
	body, sum, checked := strings.Cut(strings.ToUpper(line), "/")
	fields := strings.Fields(body)
	if !checked {
		k.text.WriteString(strings.Join(fields, ""))
		k.Lines++
		return k.small()
	}
	n := k.Lines + 1
	if len(fields) > 1 && len(fields[0]) == 1 && fields[0] >= "1" && fields[0] <= "9" {
		if fields[0] != fmt.Sprint(n) {
			return fmt.Errorf("that is line %s of the sheet; line %d comes now", fields[0], n)
		}
		fields = fields[1:]
	}
	text := strings.Join(fields, "")
	if strings.ToLower(strings.TrimSpace(sum)) != lineSum(n, text) {
		return fmt.Errorf("line %d does not agree with its checksum: a character is wrong", n)
	}
	k.text.WriteString(text)
	k.Lines++
	return k.small()
}

func (k *TypedKey) small() error {
	if k.text.Len() > maxKey {
		return ErrKey
	}
	return nil
}

// Identity is the key, when it is complete.
func (k *TypedKey) Identity() (age.Identity, error) {
	ids, err := age.ParseIdentities(strings.NewReader(k.text.String()))
	if err != nil || len(ids) != 1 {
		return nil, ErrKey // age's own error shows what it read
	}
	return ids[0], nil
}

// ErrKey says that what was typed is no key.
var ErrKey = errors.New("what was typed is no recovery key: want the lines of the sheet, or AGE-SECRET-KEY-…")
