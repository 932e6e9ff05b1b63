package cachetag

// looksDone counts looks whose callers went on to load or to wait for a load.
func (c *Cache) looksDone() int64 {
	c.flights.mu.Lock()
	defer c.flights.mu.Unlock()
	return c.flights.joined
}
