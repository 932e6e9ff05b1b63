package taxinvoice

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
)

// A record of a TrueType font's table directory has the table's name, its checksum, where it is, and its length.
const directoryBegins, recordLength = 12, 16

// bytes gives the font with codes of the encoding in place of its characters, and without its names, which
// a document has no use for. The checksums are those of before: whoever cuts the font makes them anew.
func (e *encoding) bytes(f *fontFile) ([]byte, error) {
	data, err := files.ReadFile("fonts/" + f.name + ".ttf")
	if err != nil {
		return nil, fmt.Errorf("read font %s: %w", f.name, err)
	}
	for name, table := range map[string][]byte{"cmap": e.cmap(), "name": {0, 0, 0, 0, 0, 6}} {
		for len(data)%4 != 0 {
			data = append(data, 0)
		}
		record := tableRecord(data, name)
		if record == nil {
			return nil, fmt.Errorf("read font %s: it has no table %s", f.name, name)
		}
		binary.BigEndian.PutUint32(record[8:], uint32(len(data)))
		binary.BigEndian.PutUint32(record[12:], uint32(len(table)))
		data = append(data, table...)
	}
	return data, nil
}

func tableRecord(data []byte, name string) []byte {
	tables := int(binary.BigEndian.Uint16(data[4:]))
	for record := range slices.Chunk(data[directoryBegins:directoryBegins+tables*recordLength], recordLength) {
		if string(record[:4]) == name {
			return record
		}
	}
	return nil
}

// cmap is a table of format 4 with a segment for each code, and the one of U+FFFF that ends it.
func (e *encoding) cmap() []byte {
	codes := slices.Sorted(maps.Keys(e.glyphs))
	n := len(codes) + 1
	var ends, starts, deltas []byte
	for _, c := range codes {
		ends = binary.BigEndian.AppendUint16(ends, uint16(c))
		starts = binary.BigEndian.AppendUint16(starts, uint16(c))
		deltas = binary.BigEndian.AppendUint16(deltas, uint16(e.glyphs[c])-uint16(c))
	}
	table := []byte{0, 0, 0, 1, 0, 3, 0, 1, 0, 0, 0, 12}      // one table, for Unicode on Windows, which begins at 12
	for _, v := range []int{4, 16 + 8*n, 0, 2 * n, 0, 0, 0} { // nobody reads the three that are for searching
		table = binary.BigEndian.AppendUint16(table, uint16(v))
	}
	table = append(append(table, ends...), 0xFF, 0xFF, 0, 0)
	table = append(append(table, starts...), 0xFF, 0xFF)
	table = append(append(table, deltas...), 0, 1)
	return append(table, make([]byte, 2*n)...)
}
