package runtime

import (
	"fmt"
	"time"

	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"
	"go.starlark.net/syntax"
)

// Time is a moment in UTC. Policies get one from now(), from artifacts, or from
// time.parse; there is no other clock.
type Time struct{ t time.Time }

// NewTime wraps t.
func NewTime(t time.Time) Time { return Time{t.UTC().Truncate(time.Microsecond)} }

// StarlarkType names the type.
func (t Time) StarlarkType() string { return "time" }

// MarshalJSON is the recorded form.
func (t Time) MarshalJSON() ([]byte, error) { return []byte(`{"at":"` + t.text() + `"}`), nil }

func (t Time) text() string { return t.t.Format(time.RFC3339Nano) }

func parseTime(s string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("bad time %q: write 2027-01-31 or 2027-01-31T02:00:00Z", s)
}

var (
	_ starlark.HasAttrs   = Time{}
	_ starlark.HasBinary  = Time{}
	_ starlark.Comparable = Time{}
)

func (t Time) String() string        { return t.t.Format("2006-01-02T15:04:05Z") }
func (t Time) Type() string          { return "time" }
func (t Time) Freeze()               {}
func (t Time) Truth() starlark.Bool  { return starlark.Bool(!t.t.IsZero()) }
func (t Time) Hash() (uint32, error) { return starlark.MakeInt64(t.t.UnixNano()).Hash() }

func (t Time) AttrNames() []string {
	return []string{"day", "hour", "iso_week", "iso_year", "minute", "month", "second", "unix", "weekday", "year", "yearday"}
}

// Attr implements starlark.HasAttrs. weekday is 1 (Monday) to 7.
func (t Time) Attr(name string) (starlark.Value, error) {
	isoYear, isoWeek := t.t.ISOWeek()
	n, ok := map[string]int{
		"year": t.t.Year(), "month": int(t.t.Month()), "day": t.t.Day(), "hour": t.t.Hour(),
		"minute": t.t.Minute(), "second": t.t.Second(), "yearday": t.t.YearDay(),
		"weekday": (int(t.t.Weekday())+6)%7 + 1, "iso_week": isoWeek, "iso_year": isoYear, "unix": int(t.t.Unix()),
	}[name]
	if !ok {
		return nil, nil
	}
	return starlark.MakeInt(n), nil
}

// CompareSameType implements starlark.Comparable.
func (t Time) CompareSameType(op syntax.Token, y starlark.Value, _ int) (bool, error) {
	c := t.t.Compare(y.(Time).t)
	switch op {
	case syntax.EQL:
		return c == 0, nil
	case syntax.NEQ:
		return c != 0, nil
	case syntax.LT:
		return c < 0, nil
	case syntax.LE:
		return c <= 0, nil
	case syntax.GT:
		return c > 0, nil
	}
	return c >= 0, nil
}

// Binary implements starlark.HasBinary: time - time is seconds, time ± seconds a
// time.
func (t Time) Binary(op syntax.Token, y starlark.Value, side starlark.Side) (starlark.Value, error) {
	if o, ok := y.(Time); ok && op == syntax.MINUS && side == starlark.Left {
		return starlark.MakeInt64(int64(t.t.Sub(o.t) / time.Second)), nil
	}
	var n int64
	if _, ok := y.(starlark.Int); !ok || starlark.AsInt(y, &n) != nil || n > 1<<33 || n < -1<<33 {
		return nil, nil
	}
	switch {
	case op == syntax.PLUS:
		return Time{t.t.Add(time.Duration(n) * time.Second)}, nil
	case op == syntax.MINUS && side == starlark.Left:
		return Time{t.t.Add(-time.Duration(n) * time.Second)}, nil
	}
	return nil, nil
}

// timeModule is the predeclared "time": pure functions, no clock.
func timeModule() *starlarkstruct.Module {
	parse := func(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		var text string
		if err := starlark.UnpackArgs(b.Name(), args, kwargs, "text", &text); err != nil {
			return nil, err
		}
		t, err := parseTime(text)
		return Time{t}, err
	}
	unix := func(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		var n int64
		if err := starlark.UnpackArgs(b.Name(), args, kwargs, "seconds", &n); err != nil {
			return nil, err
		}
		return Time{time.Unix(n, 0).UTC()}, nil
	}
	duration := func(_ *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
		var text string
		if err := starlark.UnpackArgs(b.Name(), args, kwargs, "text", &text); err != nil {
			return nil, err
		}
		d, err := ParseDuration(text)
		return starlark.MakeInt64(int64(d / time.Second)), err
	}
	return &starlarkstruct.Module{Name: "time", Members: starlark.StringDict{
		"parse":    starlark.NewBuiltin("time.parse", parse),
		"unix":     starlark.NewBuiltin("time.unix", unix),
		"duration": starlark.NewBuiltin("time.duration", duration),
	}}
}
