import { deferred } from '../../../src/base/lifecycle';
import { Coordinators } from '../../../src/kafka/cluster/coordinators';
import { KafkaError } from '../../../src/kafka/protocol/errors';

function lookups() {
  const running: ReturnType<typeof deferred<number>>[] = [];
  const findCoordinator = (): Promise<number> => {
    const lookup = deferred<number>();
    running.push(lookup);
    return lookup.promise;
  };
  let found = 0;
  const coordinators = new Coordinators({ findCoordinator }, () => void found++);
  return { coordinators, running, found: () => found };
}

describe('the coordinators of groups', () => {
  it('are looked up once for all callers, and reported when found', async () => {
    const { coordinators, running, found } = lookups();
    const callers = [coordinators.find('g'), coordinators.find('g')];
    expect([running.length, coordinators.known('g')]).toEqual([1, undefined]);
    running[0]?.resolve(2);
    expect(await Promise.all(callers)).toEqual([2, 2]);
    expect([coordinators.known('g'), found()]).toEqual([2, 1]);
    expect(await coordinators.find('g')).toBe(2);
    expect(running).toHaveLength(1);
  });

  it('are looked up again after a failure, and after they were forgotten', async () => {
    const { coordinators, running } = lookups();
    const failing = coordinators.find('g');
    running[0]?.reject(new KafkaError('CONNECTION', 'cut'));
    await expect(failing).rejects.toMatchObject({ code: 'CONNECTION' });
    const finding = coordinators.find('g');
    running[1]?.resolve(1);
    expect(await finding).toBe(1);
    coordinators.forget('g');
    expect(coordinators.known('g')).toBeUndefined();
    void coordinators.find('g');
    expect(running).toHaveLength(3);
  });

  it('do not change by a lookup that ends after they were forgotten', async () => {
    const { coordinators, running, found } = lookups();
    const outdated = coordinators.find('g');
    coordinators.forget('g');
    const newer = coordinators.find('g');
    running[0]?.resolve(1);
    expect([await outdated, coordinators.known('g'), found()]).toEqual([1, undefined, 0]);
    running[1]?.resolve(3);
    expect([await newer, coordinators.known('g'), found()]).toEqual([3, 3, 1]);
  });
});
