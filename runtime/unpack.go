package runtime

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"go.starlark.net/starlark"
)

// ArgumentError is what is wrong with one argument of a call.
type ArgumentError struct {
	Arg string
	Key string // within it: the key of a dict, or ""
	Err error
}

func (e *ArgumentError) Error() string { return e.Err.Error() }
func (e *ArgumentError) Unwrap() error { return e.Err }

// Unpack fills the struct that a points to from the arguments of a call.
func Unpack(fn string, a any, args starlark.Tuple, kwargs []starlark.Tuple) error {
	return unpackInto(fn, a, args, kwargs)
}

// UnpackAll is Unpack that goes on: the struct is filled as far as arguments can be read.
// Each that cannot is an ArgumentError; an error of another type is one of the whole call.
func UnpackAll(fn string, a any, args starlark.Tuple, kwargs []starlark.Tuple) []error {
	var bad []error
	if err := unpack(fn, a, args, kwargs, func(name string, err error) {
		bad = append(bad, &ArgumentError{Arg: name, Err: fmt.Errorf("for parameter %s: %w", name, err)})
	}); err != nil {
		text := strings.TrimPrefix(err.Error(), fn+": ")
		bad = append(bad, errors.New(text))
	}
	return bad
}

// unpackInto fills the struct a points to from the arguments of a call. Errors
// are those of starlark.UnpackArgs, with a suggestion for unknown names. Arguments are
// named; one alone may stand without its name, where it is the one that a reader expects.
func unpackInto(fn string, a any, args starlark.Tuple, kwargs []starlark.Tuple) error {
	return unpack(fn, a, args, kwargs, nil)
}

// unpack calls bad with each argument that cannot be read, and goes on; without bad the
// first is the error.
func unpack(fn string, a any, args starlark.Tuple, kwargs []starlark.Tuple, bad func(name string, err error)) error {
	v := reflect.ValueOf(a).Elem()
	if len(args) > 1 || len(args) == 1 && (len(kwargs) > 0 || !loneArgument(v.Type())) {
		return fmt.Errorf("%s: arguments are named: %s(%s = …)", fn, fn, firstName(a))
	}
	var pairs, optional []any // UnpackArgs takes everything after an optional one for optional
	for i := range v.NumField() {
		switch name := v.Type().Field(i).Tag.Get("star"); {
		case name == "":
		case strings.HasSuffix(name, "?"):
			optional = append(optional, name, &field{v.Field(i), strings.TrimSuffix(name, "?"), true, bad})
		default:
			pairs = append(pairs, name, &field{v.Field(i), name, false, bad})
		}
	}
	return starlark.UnpackArgs(fn, args, kwargs, append(pairs, optional...)...)
}

// loneArgument reports whether the first argument is the one that is meant when there is
// one alone: no other has to be given.
func loneArgument(t reflect.Type) bool {
	first := true
	for i := range t.NumField() {
		name := t.Field(i).Tag.Get("star")
		if name == "" {
			continue
		}
		if !first && !strings.HasSuffix(name, "?") {
			return false
		}
		first = false
	}
	return !first
}

func firstName(a any) string {
	t := reflect.TypeOf(a).Elem()
	for i := range t.NumField() {
		if name := t.Field(i).Tag.Get("star"); name != "" {
			return strings.TrimSuffix(name, "?")
		}
	}
	return ""
}
